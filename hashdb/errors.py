"""Every error that Seawall raises on purpose.

SeawallError
|-- Invalid                  the caller sent something that cannot be used as it is
|   |-- BadArgument          a request's field, a command's option
|   |-- BadFingerprint       a hash, or a list of hashes
|   |-- BadPolicy            the written policy
|   `-- BadSetting           an environment setting
|-- BadMedia                 the media cannot be judged
|   |-- EmptyMedia           0 bytes
|   |-- UnsupportedMedia     neither an image nor a video in an allowed format
|   |-- CorruptMedia         the format is known, but no frame could be decoded
|   |-- NoPicture            a media file without a picture (sound only)
|   |-- MediaTooLarge        over the limit of bytes, pixels or memory
|   `-- MediaTimeout         the sandbox's limit of time was reached
|-- NotFound                 no such bank, reference, verdict, review, job
|-- Conflict                 the thing exists already, or differs
|   |-- NameTaken            a bank of that name exists
|   |-- UploadConflict       the same upload_id with another request
|   |-- UploadBusy           a review of it is open, or a job is to judge it
|   `-- AlreadyDecided       the review has a decision
|-- Denied
|   |-- Unauthenticated      no key, or a key that is not known
|   |-- Forbidden            the key's role may not do this
|   `-- RateLimited          too many requests with this key
|-- Unavailable              a part that Seawall needs does not answer; try again
|   |-- DatabaseUnavailable
|   |-- IndexUnavailable     the server that holds the frame hashes
|   |-- SandboxFailed        the decoding child died without an answer
|   |-- QueueFull            too many uploads wait for a decoder
|   |-- ClassifierUnavailable
|   |-- DescriptorUnavailable
|   `-- PartnerUnavailable
|-- NotUpgraded              the database's schema is not this version's
`-- BadSnapshot              a snapshot file is damaged or of another version
"""


class SeawallError(Exception):
    """The root: catch this to catch what Seawall raises on purpose, and nothing else."""


class Invalid(SeawallError):
    """The caller sent something that cannot be used as it is."""


class BadArgument(Invalid):
    """A request's field or a command's option is missing, unknown or out of range."""


class BadFingerprint(Invalid):
    """A hash, or a list of hashes, that cannot be read."""


class BadPolicy(Invalid):
    """The written policy is not valid."""


class BadSetting(Invalid):
    """An environment setting is not valid."""


class BadMedia(SeawallError):
    """The media cannot be judged."""


class EmptyMedia(BadMedia):
    """The media has 0 bytes."""


class UnsupportedMedia(BadMedia):
    """Neither an image nor a video in a format that is allowed."""


class CorruptMedia(BadMedia):
    """The format is known, but no frame could be decoded."""


class NoPicture(BadMedia):
    """A media file without a picture."""


class MediaTooLarge(BadMedia):
    """Over the limit of bytes or pixels, or of the memory that decoding may take."""


class MediaTimeout(BadMedia):
    """The sandbox's limit of time was reached before a frame could be judged."""


class NotFound(SeawallError):
    """No such thing."""


class Conflict(SeawallError):
    """The thing exists already, or differs from what was sent."""


class NameTaken(Conflict):
    """A bank of that name exists."""


class UploadConflict(Conflict):
    """The same upload_id was used with another request: other bytes, or another `suspicious`."""


class UploadBusy(Conflict):
    """The upload cannot be erased: a review of it is open, or a job is still to judge it."""


class AlreadyDecided(Conflict):
    """The review has a decision."""


class Denied(SeawallError):
    """The caller may not do this."""


class Unauthenticated(Denied):
    """No key was sent, or one that is not known or was revoked."""


class Forbidden(Denied):
    """The key's role may not do this."""


class RateLimited(Denied):
    """Too many requests with this key."""


class Unavailable(SeawallError):
    """A part that Seawall needs does not answer; the caller holds the upload and tries again."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class IndexUnavailable(Unavailable):
    """The server that holds the frame hashes does not answer."""


class SandboxFailed(Unavailable):
    """The decoding child could not be started, or died without an answer."""


class QueueFull(Unavailable):
    """As many uploads as may wait for a decoder do so already."""


class ClassifierUnavailable(Unavailable):
    """The classifier does not answer, or its circuit is open."""


class DescriptorUnavailable(Unavailable):
    """The descriptor model failed, or gave no vectors."""


class PartnerUnavailable(Unavailable):
    """The exchange's other side does not answer, or answers something that is no feed."""


class NotUpgraded(SeawallError):
    """The database's schema is not this version's: run `seawall db upgrade`."""


class BadSnapshot(SeawallError):
    """A snapshot file is damaged, or of another version: rebuild it from the database."""
