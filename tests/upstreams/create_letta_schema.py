"""Create Letta's tables from its models: its wheel ships no migrations. Runs in Letta's environment."""

import os

import letta.orm  # noqa: F401 - defines the tables
from letta.orm import Base
from sqlalchemy import create_engine, text

engine = create_engine(
    os.environ["LETTA_PG_URI"].replace("postgresql://", "postgresql+psycopg2://")
)
with engine.begin() as connection:
    connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    # The model takes messages.sequence_id from the server, whose sequence only the migrations make.
    connection.execute(text("CREATE SEQUENCE IF NOT EXISTS message_seq_id"))
    Base.metadata.create_all(connection)
    connection.execute(
        text("ALTER TABLE messages ALTER COLUMN sequence_id SET DEFAULT nextval('message_seq_id')")
    )
