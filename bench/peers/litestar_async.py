"""Litestar with its SQLAlchemy plugin, its JWT sign-in and its DTOs."""

import os
from datetime import UTC, datetime
from typing import Annotated

from litestar import Litestar, Request, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.pagination import OffsetPagination
from litestar.plugins.sqlalchemy import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyDTO,
    SQLAlchemyDTOConfig,
    SQLAlchemyPlugin,
)
from litestar.security.jwt import JWTAuth, Token
from msgspec import Meta, Struct, structs
from sqlalchemy import BigInteger, ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ["DATABASE_URL"]
URL = URL.replace("postgresql:", "postgresql+asyncpg:")
URL = URL.replace("sqlite:", "sqlite+aiosqlite:")


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


Text = Annotated[str, Meta(min_length=1, max_length=64)]


class DeviceCreate(Struct):
    name: Text
    location: Text
    type: Text
    model: Text
    serial_number: Text


class DevicePublic(SQLAlchemyDTO[Device]):
    config = SQLAlchemyDTOConfig(exclude={"search", "version"})


database = SQLAlchemyAsyncConfig(
    connection_string=URL, session_config=AsyncSessionConfig(expire_on_commit=False)
)


async def retrieve_user(token: Token, connection: ASGIConnection) -> User | None:
    session = database.provide_session(connection.app.state, connection.scope)
    user = await session.get(User, int(token.sub))
    return user if user and user.status == "normal" else None


auth = JWTAuth[User](
    retrieve_user_handler=retrieve_user, token_secret=os.environ["SECRET_KEY"]
)


@get("/api/v1/devices", return_dto=DevicePublic)
async def read_devices(
    request: Request[User, Token, State],
    db_session: AsyncSession,
    limit: int = 20,
    offset: int = 0,
) -> OffsetPagination[Device]:
    mine = Device.owner_id == request.user.id
    total = await db_session.scalar(
        select(func.count()).select_from(Device).where(mine)
    )
    statement = select(Device).where(mine).order_by(Device.id)
    devices = await db_session.scalars(statement.limit(limit).offset(offset))
    return OffsetPagination(
        items=list(devices), limit=limit, offset=offset, total=total
    )


@get("/api/v1/devices/{id:int}", return_dto=DevicePublic)
async def read_device(
    request: Request[User, Token, State], db_session: AsyncSession, id: int
) -> Device:
    device = await db_session.get(Device, id)
    if device is None or device.owner_id != request.user.id:
        raise NotFoundException
    return device


@post("/api/v1/devices", return_dto=DevicePublic)
async def create_device(
    request: Request[User, Token, State], db_session: AsyncSession, data: DeviceCreate
) -> Device:
    device = Device(**structs.asdict(data), owner_id=request.user.id)
    db_session.add(device)
    await db_session.commit()
    return device


app = Litestar(
    [read_devices, read_device, create_device],
    on_app_init=[auth.on_app_init],
    plugins=[SQLAlchemyPlugin(config=database)],
)
