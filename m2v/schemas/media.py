"""Tables of the stage media."""

import polars as pl

from m2v.schemas.table import Table

MEME_IMAGES = Table(
    name="meme_images",
    row="a meme's picture as models see it, or what is wrong with it",
    columns={
        "meme_id": pl.String,
        "path": pl.String,  # of the upright RGB copy
        "width": pl.UInt32,  # before it was scaled down
        "height": pl.UInt32,
        "pixels_sha256": pl.String,
        "perceptual_hash": pl.String,  # 64 bits as hex
        "is_torn": pl.Boolean,  # the file ends before the picture does; the rest is grey
        "problem": pl.Enum(["missing", "outside", "unreadable", "too_large"]),
    },
    key=("meme_id",),
    is_checked=True,
    nullable=frozenset({"path", "width", "height", "pixels_sha256", "perceptual_hash", "is_torn", "problem"}),
)

VIDEO_FEATURES = Table(
    name="video_features",
    row="a video's frames, the file of its sound and its transcript, or what is wrong with it",
    columns={
        "video_id": pl.String,
        "duration_s": pl.Float64,
        "width": pl.UInt32,
        "height": pl.UInt32,
        "frames": pl.List(pl.String),  # paths of their files, in order of time
        "frame_times_s": pl.List(pl.Float64),
        "frame_sha256": pl.List(pl.String),
        "frame_variance": pl.List(pl.Float64),  # of grey levels, 0 to 255
        "problem": pl.String,
        "sound": pl.String,  # the file that holds its sound, below the dataset's media folder
        "sound_sha256": pl.String,
        "audio_problem": pl.String,
        "transcript": pl.String,
        "transcript_source": pl.Enum(["dataset", "whisper", "none"]),
        "voice_s": pl.Float64,  # seconds with a voice, where a model listened for one
    },
    key=("video_id",),
    is_checked=True,
    nullable=frozenset(
        {"voice_s", "duration_s", "width", "height", "problem", "sound", "sound_sha256", "audio_problem"}
    ),
    hidden=frozenset({"transcript"}),
    former=frozenset({"frame_embeddings", "embedding", "mel_mean", "mel_std", "mfcc_mean", "mfcc_std"}),
)

ITEM_TEXTS = Table(
    name="texts",
    row="an item's text as models read it: its dataset's, or where that has none what was read in its picture or heard",
    columns={
        "item_id": pl.String,
        "text": pl.String,
        "text_sha256": pl.String,
        "text_source": pl.Enum(["dataset", "picture", "speech", "none"]),
        "confidence": pl.Float64,  # 0-1, of what was read in a picture
    },
    key=("item_id",),
    is_checked=True,
    nullable=frozenset({"confidence"}),
    hidden=frozenset({"text"}),
)
