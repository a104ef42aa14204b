"""Requests that schemathesis makes from the OpenAPI document, allowed and not allowed; always the same ones."""

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from playlist_pipeline.serving.app import create_app
from playlist_pipeline.serving.settings import ServerSettings

WITH_INPUT = ["search", "resolve", "similar", "complete", "recommend", "explain", "export"]
POSITIVE, NEGATIVE = schemathesis.GenerationMode
NUM_REQUESTS = 25
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


def ask_many(app, operation, mode):
    """Make requests, check the answers, and return their statuses."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    statuses = []

    @hypothesis.given(case=schema.find_operation_by_id(operation).as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=NUM_REQUESTS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    def ask(case):
        response = case.call()
        case.validate_response(response, checks=CHECKS)
        statuses.append(response.status_code)

    ask()
    return statuses


@pytest.fixture
def app(recommender):
    return create_app(recommender, ServerSettings(allowed_hosts=("testserver",)))


@pytest.mark.parametrize("operation", [*WITH_INPUT, "info", "health"])
def test_allowed_requests_are_answered_as_the_document_says(app, operation):
    statuses = ask_many(app, operation, POSITIVE)
    # Most texts name no track.
    assert set(statuses) <= {200, 422}
    assert len(statuses) == (NUM_REQUESTS if operation in WITH_INPUT else 1)


@pytest.mark.parametrize("operation", WITH_INPUT)
def test_other_requests_are_refused(app, operation):
    statuses = ask_many(app, operation, NEGATIVE)
    # A parameter that is unknown in an address is passed over.
    assert set(statuses) <= ({200, 422} if operation in ("search", "similar") else {400, 422})
    assert statuses.count(200) < NUM_REQUESTS / 4


@pytest.mark.parametrize("operation", ["complete", "recommend", "explain"])
def test_requests_with_known_tracks_are_answered(app, operation):
    uris = [f"spotify:track:{number:022d}" for number in (0, 1, 5, 6, 7, 99, 500)]
    # The document that is served: now texts are URIs.
    schemas = app.openapi()["components"]["schemas"]
    request = {"complete": "Completion", "recommend": "Recommendation", "explain": "Explanation"}[operation]
    known = {"type": "string", "enum": uris}
    schemas[f"{request}Request"]["properties"]["seeds"]["items"] = known
    schemas["ExplanationRequest"]["properties"]["track"] = known
    schemas["LockedTrack"]["properties"]["uri"] = known
    schemas["CompletionRequest"]["properties"]["locked"]["maxItems"] = 1  # no track twice
    schemas["CompletionRequest"]["properties"]["avoid"]["items"] = known
    for name in ("allow_tracks", "allow_artists", "deny_tracks", "deny_artists"):
        del schemas["ControlSettings"]["properties"][name]
    statuses = ask_many(app, operation, POSITIVE)
    assert set(statuses) <= {200, 422}
    assert statuses.count(200) > NUM_REQUESTS / 2
