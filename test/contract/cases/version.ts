import { Version } from "../../../src/gen/containerd/services/version/v1/version_pb.ts";
import { Health } from "../../../src/gen/grpc/health/v1/health_pb.ts";
import { deadlineAtOnce, noRevision } from "../differences.ts";
import { call, type Scenario, scenario } from "../script.ts";

const { version } = Version.method;
const { check, watch } = Health.method;

export const versionScenarios: readonly Scenario[] = [
  scenario("version", "what it is", [
    call("version", version, {}, { vague: ["version", "revision"], differs: noRevision }),
    call(
      "version without a namespace",
      version,
      {},
      { namespace: null, vague: ["version", "revision"], differs: noRevision },
    ),
    call(
      "version in a bad namespace",
      version,
      {},
      { namespace: "a/b", vague: ["version", "revision"], differs: noRevision },
    ),
  ]),
  scenario("health", "of the server", [
    call("check of the server", check, { service: "" }),
    call("check of none", check, { service: "nope" }),
    call("check of a service", check, { service: "containerd.services.version.v1.Version" }),
    call("watch of the server", watch, { service: "" }, { leave: { afterAnswers: 1 } }),
    call("watch of none", watch, { service: "nope" }, { leave: { afterAnswers: 1 } }),
    call("watch with a deadline", watch, { service: "" }, { timeout: "500m", differs: deadlineAtOnce }),
  ]),
];
