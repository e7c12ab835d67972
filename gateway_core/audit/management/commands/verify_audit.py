"""Say whether the audit trail, or an export of it, is what the gateway has recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from gateway_core.audit import stored
from gateway_core.audit.batches import Batch, Head
from gateway_core.audit.exports import reading
from gateway_core.audit.exports.lines import About
from gateway_core.audit.heads import Heads
from gateway_core.audit.keys import PublicKeys, own_public_keys, parse_key
from gateway_core.audit.verifying import Verifier
from gateway_core.moments import moment
from gateway_core.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from gateway_core.audit.verifying import Other, Sealed


class Command(BaseCommand):
    """Exit status 0: all is as it was recorded; 1: it is not, and what is not is said."""

    help = (
        "Verify the audit trail: that no event, batch or signature was changed, removed or added. "
        "With --export it verifies a file, and needs no database, but the public key. That the end "
        "was not cut off is proved by the heads that lie beside the spool, and by --head."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--export", type=Path, metavar="FILE", help="instead of the database")
        parser.add_argument(
            "--public-key",
            action="append",
            metavar="HEX",
            help="whose signatures are good; may be repeated; those of AUDIT_SIGNING_KEY and "
            "AUDIT_PUBLIC_KEYS",
        )
        parser.add_argument(
            "--head",
            action="append",
            default=[],
            metavar="NUMBER:HASH",
            help="that the log or an export told of once, and the chain must have; may be repeated",
        )
        parser.add_argument(
            "--since", type=moment, metavar="TIME", help="trust the batches from before"
        )

    def handle(self, **options: Any) -> None:
        """Verify.

        Raises:
            CommandError: faults, or options that make no sense.
        """
        keys = PublicKeys(_public_keys(options["public_key"]))
        heads = _heads(options["head"])
        if options["export"] and options["since"]:
            raise CommandError("--since is for the database; an export is verified as a whole.")
        if options["export"]:
            verifier, proven = self._verify_export(options["export"], keys, heads)
        else:
            verifier, proven = self._verify_database(keys, heads, options["since"])
        self._report(verifier, proven)

    def _verify_database(
        self, keys: PublicKeys, heads: list[Head], since: datetime | None
    ) -> tuple[Verifier, str]:
        kept = _kept()  # first: what is kept meanwhile need not be in the snapshot
        with stored.snapshot(), Progress() as progress:
            first = stored.first_batch_since(since) if since else None
            is_all = first is None or first == 1
            # What was dropped with its month can't have its head; that the rest is there is proved.
            begins = first or stored.first_batch() or 1
            heads = heads + [head for head in kept if head.sequence >= begins]
            verifier = Verifier(keys, heads=heads, begins_later=not is_all)
            total = stored.count_events()
            for part in stored.batches(first=first):
                for thing in _in_turn(part):
                    verifier.see(thing)
                progress.show("events", verifier.events, max(total, verifier.events))
            verifier.finish()
            for fault in stored.loose_ends(keys):
                verifier.faults.add(fault)
        return verifier, _proven(since, heads)

    def _verify_export(
        self, path: Path, keys: PublicKeys, heads: list[Head]
    ) -> tuple[Verifier, str]:
        try:
            with path.open(encoding="utf-8", newline="") as file, Progress() as progress:
                size = path.stat().st_size
                things = reading.read(file)
                about = next(things)
                if not isinstance(about, About):
                    raise CommandError(f"{path} is no export.")
                # Not signed, so this finds only what was cut off by accident.
                own = [Head.parse(about.head)] if about.head else []
                verifier = Verifier(keys, heads=[*own, *heads], is_whole=about.is_complete)
                for thing in things:
                    if isinstance(thing, Batch):
                        progress.show("bytes", file.buffer.tell(), size)  # type: ignore[attr-defined]
                    verifier.see(thing)  # type: ignore[arg-type]
                verifier.finish()
        except (OSError, UnicodeDecodeError) as exc:
            raise CommandError(f"{path} can't be read: {exc}") from exc
        except ValueError as exc:
            raise CommandError(f"{path}: {exc}.") from exc
        if about.is_complete:
            return verifier, "nothing was changed, removed or added up to the head"
        return verifier, (
            "each of these events was recorded so by the gateway; that there are no others can't "
            "be proved by an export with filters"
        )

    def _report(self, verifier: Verifier, proven: str) -> None:
        counts = f"{verifier.events} events in {verifier.batches} batches"
        if verifier.faults.count:
            for fault in verifier.faults.first:
                self.stdout.write(self.style.ERROR(fault))
            raise CommandError(f"{verifier.faults.count} faults; {counts}.")
        names = ", ".join(sorted(verifier.key_ids)) or "none"
        self.stdout.write(f"{counts}, signed with: {names}")
        self.stdout.write(f"head {verifier.head or 'none'}")
        self.stdout.write(self.style.SUCCESS(f"good: {proven}"))


def _in_turn(part: list[Batch]) -> Iterator[Batch | Sealed | Other]:
    """Yield each batch and what it has sealed."""
    things = stored.sealed_by(part)
    thing = next(things, None)
    for batch in part:
        yield batch
        while thing is not None and thing.batch == batch.sequence:
            yield thing.sealed()
            thing = next(things, None)


def _proven(since: datetime | None, heads: list[Head]) -> str:
    proven = "nothing was changed, removed or added" + (f" since {since}" if since else "")
    if not heads:
        return f"{proven}; that nothing was cut off at the end was not proved: there was no head"
    newest = max(head.sequence for head in heads)
    return f"{proven}; nothing was cut off up to batch {newest}, the newest head that was kept"


def _kept() -> list[Head]:
    heads = Heads(settings.AUDIT_SPOOL_DIR)
    try:
        return heads.read()
    except OSError as exc:
        raise CommandError(f"{heads.path} can't be read: {exc.strerror}.") from exc


def _public_keys(texts: Iterable[str] | None) -> Iterable[bytes]:
    if not texts:
        return own_public_keys()
    try:
        return [parse_key(text) for text in texts]
    except ValueError as exc:
        raise CommandError(f"--public-key: {exc}.") from exc


def _heads(texts: Iterable[str]) -> list[Head]:
    try:
        return [Head.parse(text) for text in texts]
    except ValueError as exc:
        raise CommandError(f"--head: {exc}.") from exc
