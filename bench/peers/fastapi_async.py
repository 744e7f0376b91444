"""FastAPI with SQLAlchemy's asynchronous sessions: asyncpg, aiosqlite."""

import os
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from jwt.exceptions import InvalidTokenError
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import BigInteger, ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ["DATABASE_URL"]
URL = URL.replace("postgresql:", "postgresql+asyncpg:")
URL = URL.replace("sqlite:", "sqlite+aiosqlite:")
sessions = async_sessionmaker(create_async_engine(URL), expire_on_commit=False)
app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl="/api/v1/token")


def moment():
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    status: Mapped[str]


class Device(Base):
    __tablename__ = "devices"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"))
    name: Mapped[str]
    location: Mapped[str]
    type: Mapped[str]
    model: Mapped[str]
    serial_number: Mapped[str]
    search: Mapped[str] = mapped_column(default="")
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=moment)
    updated_at: Mapped[datetime] = mapped_column(default=moment)


Text = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class DeviceCreate(BaseModel):
    name: Text
    location: Text
    type: Text
    model: Text
    serial_number: Text


class DevicePublic(DeviceCreate):
    model_config = ConfigDict(from_attributes=True)
    id: int
    owner_id: int
    created_at: datetime
    updated_at: datetime


class DevicesPublic(BaseModel):
    data: list[DevicePublic]
    count: int


async def get_db():
    async with sessions() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_db)]


async def get_current_user(
    session: SessionDep, token: Annotated[str, Depends(bearer)]
) -> User:
    denied = HTTPException(
        status_code=401,
        detail="Could not validate credentials",
        headers={"WWW-Authenticate": "Bearer"},
    )
    try:
        payload = jwt.decode(token, os.environ["SECRET_KEY"], algorithms=["HS256"])
        id = int(payload["sub"])
    except (InvalidTokenError, KeyError, ValueError):
        raise denied
    user = await session.get(User, id)
    if user is None or user.status != "normal":
        raise denied
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.get("/api/v1/devices/")
async def read_devices(
    session: SessionDep, current_user: CurrentUser, skip: int = 0, limit: int = 100
) -> DevicesPublic:
    mine = Device.owner_id == current_user.id
    count = await session.scalar(select(func.count()).select_from(Device).where(mine))
    statement = select(Device).where(mine).order_by(Device.id).offset(skip).limit(limit)
    devices = await session.scalars(statement)
    return DevicesPublic(
        data=[DevicePublic.model_validate(device) for device in devices], count=count
    )


@app.get("/api/v1/devices/{id}", response_model=DevicePublic)
async def read_device(session: SessionDep, current_user: CurrentUser, id: int):
    device = await session.get(Device, id)
    if device is None or device.owner_id != current_user.id:
        raise HTTPException(status_code=404, detail="Device not found")
    return device


@app.post("/api/v1/devices/", response_model=DevicePublic, status_code=201)
async def create_device(
    session: SessionDep, current_user: CurrentUser, body: DeviceCreate
):
    device = Device(**body.model_dump(), owner_id=current_user.id)
    session.add(device)
    await session.commit()
    return device
