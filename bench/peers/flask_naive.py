"""Flask-RESTX, Flask-SQLAlchemy and Flask-JWT-Extended, as their guides teach."""

import os
from datetime import UTC, datetime

from flask import Flask, request
from flask_jwt_extended import JWTManager, current_user, jwt_required
from flask_restx import Api, Namespace, Resource, fields
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"].replace(
    "postgresql:", "postgresql+psycopg:"
)
app.config["JWT_SECRET_KEY"] = os.environ["SECRET_KEY"]
db = SQLAlchemy(app)
jwt = JWTManager(app)
api = Api(app, prefix="/api/v1")
devices = Namespace("devices", path="/devices")


def moment():
    return datetime.now(UTC).replace(tzinfo=None)


class User(db.Model):
    __tablename__ = "users"
    id = db.Column(db.Integer, primary_key=True)
    username = db.Column(db.String(64), nullable=False)
    status = db.Column(db.String(16), nullable=False)


class Device(db.Model):
    __tablename__ = "devices"
    id = db.Column(db.Integer, primary_key=True)
    owner_id = db.Column(db.ForeignKey("users.id"), nullable=False)
    owner = db.relationship(User)
    name = db.Column(db.String(64), nullable=False)
    location = db.Column(db.String(64), nullable=False)
    type = db.Column(db.String(64), nullable=False)
    model = db.Column(db.String(64), nullable=False)
    serial_number = db.Column(db.String(64), nullable=False)
    search = db.Column(db.Text, nullable=False, default="")
    version = db.Column(db.Integer, nullable=False, default=1)
    created_at = db.Column(db.DateTime, nullable=False, default=moment)
    updated_at = db.Column(db.DateTime, nullable=False, default=moment)


def text():
    return fields.String(required=True, min_length=1, max_length=64)


write = devices.model(
    "DeviceWrite",
    {name: text() for name in ("name", "location", "type", "model", "serial_number")},
)
read = devices.inherit(
    "Device",
    write,
    {
        "id": fields.Integer,
        "url": fields.Url("devices_one_device", absolute=True),
        "owner": fields.String(attribute="owner.username"),
        "created_at": fields.DateTime,
        "updated_at": fields.DateTime,
    },
)
page = devices.model(
    "Devices", {"items": fields.List(fields.Nested(read)), "total": fields.Integer}
)


@jwt.user_lookup_loader
def load_user(_header, claims):
    return User.query.filter_by(id=int(claims["sub"]), status="normal").one_or_none()


@devices.route("/")
class Devices(Resource):
    @jwt_required()
    @devices.marshal_with(page)
    def get(self):
        mine = Device.query.filter_by(owner_id=current_user.id).order_by(Device.id)
        return mine.paginate(per_page=request.args.get("per_page", 20, type=int))

    @jwt_required()
    @devices.expect(write, validate=True)
    @devices.marshal_with(read, code=201)
    def post(self):
        device = Device(owner_id=current_user.id, **api.payload)
        db.session.add(device)
        db.session.commit()
        return device, 201


@devices.route("/<int:id>")
class OneDevice(Resource):
    @jwt_required()
    @devices.marshal_with(read)
    def get(self, id):
        return Device.query.filter_by(id=id, owner_id=current_user.id).first_or_404()


api.add_namespace(devices)
