"""Wiring of the study pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.study.nodes import build_study_cases, plot_study, run_study, tabulate_study


def create_pipeline() -> Pipeline:
    """Return the pipeline: all parts to runs, the study's tables, report and figure."""
    return Pipeline(
        nodes=[
            Node(
                func=build_study_cases,
                inputs={
                    "playlists": "playlists",
                    "memberships": "memberships",
                    "tracks": "tracks",
                    "splits": "splits",
                    "vocabulary": "vocabulary",
                    "config": "params:study",
                },
                outputs=["study_cases", "study_cases_report"],
                name="build_study_cases_node",
            ),
            Node(
                func=run_study,
                inputs={
                    "sequences": "sequences@packed",
                    "vocabulary": "vocabulary",
                    "side_information": "side_information",
                    "playlists": "playlists",
                    "study_cases": "study_cases",
                    "study_store": "study_store",
                    "config": "params:study",
                    "baselines_config": "params:baselines",
                },
                outputs=["study_runs", "study_figures"],
                name="run_study_node",
            ),
            Node(
                func=tabulate_study,
                inputs={
                    "study_cases": "study_cases",
                    "study_runs": "study_runs",
                    "study_figures": "study_figures",
                    "config": "params:study",
                },
                outputs=["study_overall", "study_by_history", "study_report"],
                name="tabulate_study_node",
            ),
            Node(
                func=plot_study,
                inputs={"study_overall": "study_overall", "study_by_history": "study_by_history"},
                outputs="study_plot",
                name="plot_study_node",
            ),
        ]
    )
