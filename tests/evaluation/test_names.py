import pytest

from playlist_pipeline.evaluation.names import name_case, name_metric, name_system


@pytest.mark.parametrize(
    ("system", "name"),
    [("model", "model"), ("transformer", "transformer alone"), ("item_knn", "item-kNN"), ("my_system", "my_system")],
)
def test_systems(system: str, name: str) -> None:
    assert name_system(system) == name


def test_metrics_and_cases() -> None:
    assert [name_metric(metric) for metric in ("ndcg@500", "clicks")] == ["NDCG@500", "clicks"]
    assert [name_case("first_k", case) for case in ("1", "5", "all")] == ["1 seed", "5 seeds", "all"]
    assert name_case("challenge", "title_first_5") == "title_first_5"
