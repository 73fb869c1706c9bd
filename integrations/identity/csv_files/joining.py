"""How an agency that works by files is joined: its name. Where the files change hands is the file drop's."""

from engine.kernel.joining import Means
from integrations.identity.csv_files.adapter import Agency, CsvVerifier


class JoinsBatchVerifier:
    """Answers `Joins` for batches."""

    credentials = Agency

    def join(self, credentials: Agency, means: Means) -> CsvVerifier:  # noqa: ARG002 - it speaks to nobody
        """Return the adapter."""
        return CsvVerifier(credentials)
