"""What every plugin, policy and rule has to keep."""

import threading
from typing import ClassVar

import pytest

from flujo.plugins import StepPolicy
from flujo.testing.lint import LintRuleConformance
from flujo.testing.plugin import PluginConformance
from flujo.testing.policy import StepPolicyConformance
from flujo_policy_http import HttpRefused, HttpSettings, HttpStep, http
from flujo_policy_http.policy import HttpPolicy


class TestPlugin(PluginConformance):
    dist: ClassVar = "flujo-policy-http"


class TestPolicy(StepPolicyConformance):
    handles_type: ClassVar = HttpStep
    failure: ClassVar = HttpRefused

    @pytest.fixture(autouse=True)
    def _service(self, service) -> None:
        self.service = service
        service.says("/good", "done")
        service.says("/bad", "no", 404)

    def policy(self) -> StepPolicy[HttpStep]:
        return HttpPolicy(HttpSettings.of({"allow": [self.service.url]}))

    def succeeds(self) -> HttpStep:
        return http("good", f"{self.service.url}/good")

    def fails(self) -> HttpStep:
        return http("bad", f"{self.service.url}/bad")

    def waits(self) -> HttpStep:
        self.service.hold = threading.Event()
        return http("slow", f"{self.service.url}/good")


class TestSecrets(LintRuleConformance):
    code: ClassVar = "HTTP-101"
    clean: ClassVar = "steps: [{name: ask, kind: http, url: '{{ input }}', secret_headers: {}}]"
    faulty: ClassVar = "steps: [{name: ask, kind: http, url: '{{ input }}', headers: {X-Api-Key: hush}}]"


class TestPlaces(LintRuleConformance):
    code: ClassVar = "HTTP-102"
    clean: ClassVar = "steps: [{name: ask, kind: http, url: '{{ input }}'}]"
    faulty: ClassVar = "steps: [{name: ask, kind: http, url: 'https://api.example.com/'}]"
