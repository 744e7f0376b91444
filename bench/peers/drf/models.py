from django.contrib.auth.base_user import AbstractBaseUser
from django.core.validators import MinLengthValidator
from django.db import models


class User(AbstractBaseUser):
    username = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=16)
    password = last_login = None  # its columns have other names
    USERNAME_FIELD = "username"

    class Meta:
        managed = False
        db_table = "users"

    @property
    def is_active(self):
        return self.status == "normal"


def text():
    return models.CharField(max_length=64, validators=[MinLengthValidator(1)])


class Device(models.Model):
    id = models.BigAutoField(primary_key=True)
    owner = models.ForeignKey(User, on_delete=models.CASCADE)
    name, location, type = text(), text(), text()
    model, serial_number = text(), text()
    search = models.TextField(default="")
    version = models.IntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        managed = False
        db_table = "devices"
