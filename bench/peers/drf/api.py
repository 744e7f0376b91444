import os

from django.core.wsgi import get_wsgi_application
from django.urls import include, path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "peers.drf.settings")
app = get_wsgi_application()

from rest_framework import mixins, routers, serializers, viewsets

from .models import Device


class DeviceSerializer(serializers.HyperlinkedModelSerializer):
    owner = serializers.ReadOnlyField(source="owner.username")

    class Meta:
        model = Device
        fields = [
            *("url", "id", "owner", "created_at", "updated_at"),
            *("name", "location", "type", "model", "serial_number"),
        ]


class DeviceViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet,
):
    serializer_class = DeviceSerializer

    def get_queryset(self):
        mine = Device.objects.filter(owner=self.request.user)
        return mine.select_related("owner").order_by("id")

    def perform_create(self, serializer):
        serializer.save(owner=self.request.user)


router = routers.DefaultRouter()
router.trailing_slash = "/?"
router.register("devices", DeviceViewSet, basename="device")
urlpatterns = [path("api/v1/", include(router.urls))]
