"""Wiring of the extract pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.extract.nodes import extract_tables


def create_pipeline() -> Pipeline:
    """Return the pipeline: archive to tables."""
    return Pipeline(
        nodes=[
            Node(
                func=extract_tables,
                inputs={"archive": "mpd_archive", "parts": "extraction_parts", "config": "params:extract"},
                outputs=["playlists", "artists", "albums", "tracks", "memberships", "extraction_report"],
                name="extract_tables_node",
            ),
        ]
    )
