"""What placement keeps: who has how much of what, and who uses it."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import Big, Id, Table, Time


class ResourceProvider(Table):
    __tablename__ = "resource_provider"
    __table_args__ = (UniqueConstraint("name"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    generation: Mapped[Big] = mapped_column(default=0)
    parent_id: Mapped[Id | None] = mapped_column(ForeignKey("resource_provider.id"))
    root_id: Mapped[Id] = mapped_column(index=True)
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class Inventory(Table):
    """How much of one resource class a provider has."""

    __tablename__ = "inventory"
    provider_id: Mapped[Id] = mapped_column(ForeignKey("resource_provider.id", ondelete="CASCADE"), primary_key=True)
    resource_class: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[Big]
    reserved: Mapped[Big]
    min_unit: Mapped[Big]
    max_unit: Mapped[Big]
    step_size: Mapped[Big]
    allocation_ratio: Mapped[float]
    used: Mapped[Big] = mapped_column(default=0, server_default="0")  # the sum of the allocations, kept by allocating.py


class ProviderTrait(Table):
    __tablename__ = "provider_trait"
    provider_id: Mapped[Id] = mapped_column(ForeignKey("resource_provider.id", ondelete="CASCADE"), primary_key=True)
    trait: Mapped[str] = mapped_column(primary_key=True, index=True)


class ProviderAggregate(Table):
    __tablename__ = "provider_aggregate"
    provider_id: Mapped[Id] = mapped_column(ForeignKey("resource_provider.id", ondelete="CASCADE"), primary_key=True)
    aggregate_id: Mapped[Id] = mapped_column(primary_key=True)


class CustomName(Table):
    """A CUSTOM_ trait or resource class that somebody declared."""

    __tablename__ = "placement_custom_name"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)  # trait, resource_class
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[Time]


class Consumer(Table):
    """Who uses resources: a server, mostly."""

    __tablename__ = "consumer"
    id: Mapped[Id] = mapped_column(primary_key=True)
    project_id: Mapped[Id] = mapped_column(index=True)
    user_id: Mapped[Id]
    type: Mapped[str] = mapped_column(String(255), default="unknown")
    generation: Mapped[Big] = mapped_column(default=0)
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class Allocation(Table):
    """What a consumer uses of a provider."""

    __tablename__ = "allocation"
    __table_args__ = (Index("allocation_provider", "provider_id", "resource_class"),)
    consumer_id: Mapped[Id] = mapped_column(ForeignKey("consumer.id", ondelete="CASCADE"), primary_key=True)
    provider_id: Mapped[Id] = mapped_column(ForeignKey("resource_provider.id"), primary_key=True)
    resource_class: Mapped[str] = mapped_column(primary_key=True)
    used: Mapped[Big]
