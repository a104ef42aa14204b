"""Wiring of the report pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.report.nodes import build_report_page, plot_metrics, tabulate_metrics


def create_pipeline() -> Pipeline:
    """Return the pipeline: metrics to tables, plots and one page."""
    return Pipeline(
        nodes=[
            Node(
                func=tabulate_metrics,
                inputs={"metrics": "metrics"},
                outputs=["quality_table", "difference_table", "cohort_table", "decile_table", "beyond_accuracy_table"],
                name="tabulate_metrics_node",
            ),
            Node(
                func=plot_metrics,
                inputs={"metrics": "metrics"},
                outputs=["difference_plot", "cohort_plot", "decile_plot", "beyond_accuracy_plot"],
                name="plot_metrics_node",
            ),
            Node(
                func=build_report_page,
                inputs={
                    "metrics": "metrics",
                    "extraction_report": "extraction_report",
                    "split_report": "split_report",
                    "vocabulary_report": "vocabulary_report",
                    "test_cases_report": "test_cases_report",
                    "training_report": "training_report",
                    "evaluate_config": "params:evaluate",
                    "model_config": "params:model",
                    "quality_plot": "quality_plot",
                    "difference_plot": "difference_plot",
                    "cohort_plot": "cohort_plot",
                    "decile_plot": "decile_plot",
                    "beyond_accuracy_plot": "beyond_accuracy_plot",
                    "training_plot": "training_plot",
                    "tuning_report": "tuning_report",
                    "tuning_plot": "tuning_plot",
                    "model_tuning_report": "model_tuning_report",
                    "study_overall": "study_overall",
                    "study_by_history": "study_by_history",
                    "study_report": "study_report",
                    "study_plot": "study_plot",
                },
                outputs="report_page",
                name="build_report_page_node",
            ),
        ]
    )
