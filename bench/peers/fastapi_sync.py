"""FastAPI with SQLModel, in the way of its full-stack template."""

import os
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer
from jwt.exceptions import InvalidTokenError
from pydantic import BaseModel, NaiveDatetime, ValidationError
from sqlmodel import Field, Session, SQLModel, create_engine, func, select

URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
engine = create_engine(URL)
app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl="/api/v1/login/access-token")


def moment():
    return datetime.now(UTC).replace(tzinfo=None)


class User(SQLModel, table=True):
    __tablename__ = "users"
    id: int | None = Field(default=None, primary_key=True)
    username: str
    status: str


class DeviceBase(SQLModel):
    name: str = Field(min_length=1, max_length=64)
    location: str = Field(min_length=1, max_length=64)
    type: str = Field(min_length=1, max_length=64)
    model: str = Field(min_length=1, max_length=64)
    serial_number: str = Field(min_length=1, max_length=64)


class DeviceCreate(DeviceBase):
    pass


class Device(DeviceBase, table=True):
    __tablename__ = "devices"
    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="users.id")
    search: str = ""
    version: int = 1
    created_at: NaiveDatetime = Field(default_factory=moment)
    updated_at: NaiveDatetime = Field(default_factory=moment)


class DevicePublic(DeviceBase):
    id: int
    owner_id: int
    created_at: datetime
    updated_at: datetime


class DevicesPublic(SQLModel):
    data: list[DevicePublic]
    count: int


class TokenPayload(BaseModel):
    sub: int


def get_db():
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_db)]
TokenDep = Annotated[str, Depends(bearer)]


def get_current_user(session: SessionDep, token: TokenDep) -> User:
    try:
        payload = jwt.decode(token, os.environ["SECRET_KEY"], algorithms=["HS256"])
        claims = TokenPayload(**payload)
    except (InvalidTokenError, ValidationError):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Could not validate credentials")
    user = session.get(User, claims.sub)
    if not user:
        raise HTTPException(status_code=404, detail="User not found")
    if user.status != "normal":
        raise HTTPException(status_code=400, detail="Inactive user")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.get("/api/v1/devices/", response_model=DevicesPublic)
def read_devices(
    session: SessionDep, current_user: CurrentUser, skip: int = 0, limit: int = 100
):
    mine = Device.owner_id == current_user.id
    count = session.exec(select(func.count()).select_from(Device).where(mine)).one()
    statement = select(Device).where(mine).order_by(Device.id).offset(skip).limit(limit)
    devices = session.exec(statement).all()
    public = [DevicePublic.model_validate(device) for device in devices]
    return DevicesPublic(data=public, count=count)


@app.get("/api/v1/devices/{id}", response_model=DevicePublic)
def read_device(session: SessionDep, current_user: CurrentUser, id: int):
    device = session.get(Device, id)
    if not device:
        raise HTTPException(status_code=404, detail="Device not found")
    if device.owner_id != current_user.id:
        raise HTTPException(status_code=403, detail="Not enough permissions")
    return device


@app.post("/api/v1/devices/", response_model=DevicePublic, status_code=201)
def create_device(session: SessionDep, current_user: CurrentUser, body: DeviceCreate):
    device = Device.model_validate(body, update={"owner_id": current_user.id})
    session.add(device)
    session.commit()
    session.refresh(device)
    return device
