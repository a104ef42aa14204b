"""Wiring of the catalog pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.catalog.nodes import build_catalog


def create_pipeline() -> Pipeline:
    """Return the pipeline: tables and split to the sqlite catalog."""
    tables = ["playlists", "artists", "albums", "tracks", "memberships", "splits"]
    return Pipeline(
        nodes=[
            Node(
                func=build_catalog,
                inputs={name: name for name in tables},
                outputs="catalog_db",
                name="build_catalog_node",
            ),
        ]
    )
