"""Kedro datasets of our own: handles on things that Kedro has no dataset for."""

from playlist_pipeline.datasets.archive_dataset import ArchiveDataset
from playlist_pipeline.datasets.challenge_set_dataset import ChallengeSetDataset
from playlist_pipeline.datasets.checkpoints_dataset import CheckpointsDataset
from playlist_pipeline.datasets.database_dataset import DatabaseDataset
from playlist_pipeline.datasets.model_dataset import ModelDataset
from playlist_pipeline.datasets.parts_dataset import PartsDataset
from playlist_pipeline.datasets.reranker_dataset import RerankerDataset
from playlist_pipeline.datasets.run_manifest_dataset import RunManifestDataset
from playlist_pipeline.datasets.search_index_dataset import SearchIndexDataset
from playlist_pipeline.datasets.seeds_dataset import SeedsDataset
from playlist_pipeline.datasets.sequences_dataset import SequencesDataset
from playlist_pipeline.datasets.study_runs_dataset import StudyRunsDataset
from playlist_pipeline.datasets.submission_dataset import SubmissionDataset
from playlist_pipeline.datasets.table_dataset import TableDataset
from playlist_pipeline.datasets.trials_dataset import TrialsDataset
from playlist_pipeline.datasets.whole_file_dataset import WholeFileDataset

__all__ = [
    "ArchiveDataset",
    "ChallengeSetDataset",
    "CheckpointsDataset",
    "DatabaseDataset",
    "ModelDataset",
    "PartsDataset",
    "RerankerDataset",
    "RunManifestDataset",
    "SearchIndexDataset",
    "SeedsDataset",
    "SequencesDataset",
    "StudyRunsDataset",
    "SubmissionDataset",
    "TableDataset",
    "TrialsDataset",
    "WholeFileDataset",
]
