"""The database: users, and notes whose text is encrypted before it is stored."""

import uuid
from datetime import UTC, datetime

from sqlalchemy import Engine, ForeignKey, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.security import check_password_hash, generate_password_hash

from .shared.crypto import ColumnCipher

# PostgreSQL's advisory locks are numbers; this one is ours.
SCHEMA_LOCK = 0x61746D72


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))

    def set_password(self, password: str) -> None:
        self.password_hash = generate_password_hash(password)

    def has_password(self, password: str) -> bool:
        return check_password_hash(self.password_hash, password)


class Note(Base):
    __tablename__ = "notes"

    # Chosen here, not by the database: the ciphertext is bound to it before the row exists.
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    body_sealed: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column()

    @classmethod
    def write(cls, user: User, body: str, cipher: ColumnCipher) -> "Note":
        note = cls(id=str(uuid.uuid4()), user_id=user.id, created_at=datetime.now(UTC).replace(tzinfo=None))
        note.body_sealed = cipher.seal(body, note.place)
        return note

    def body(self, cipher: ColumnCipher) -> str:
        return cipher.open(self.body_sealed, self.place)

    @property
    def place(self) -> str:
        return f"notes.body_sealed:{self.user_id}:{self.id}"


class Statistic(Base):
    """One count of all notes, by a Celery worker."""

    __tablename__ = "statistics"

    id: Mapped[int] = mapped_column(primary_key=True)
    # Who asked: `request` or `beat`.
    trigger: Mapped[str] = mapped_column(String(20), index=True)
    notes: Mapped[int] = mapped_column()
    words: Mapped[int] = mapped_column()
    counted_at: Mapped[datetime] = mapped_column()


def create_schema(engine: Engine) -> None:
    """Makes the tables that are missing. Web processes and workers may do so at the same time."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:place)"), {"place": SCHEMA_LOCK})
        Base.metadata.create_all(connection)
