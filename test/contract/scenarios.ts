import { collectionScenarios } from "./cases/collections.ts";
import { containerScenarios } from "./cases/containers.ts";
import { contentScenarios } from "./cases/content.ts";
import { diffScenarios } from "./cases/diff.ts";
import { eventScenarios } from "./cases/events.ts";
import { imageScenarios } from "./cases/images.ts";
import { introspectionScenarios } from "./cases/introspection.ts";
import { leaseScenarios } from "./cases/leases.ts";
import { namespaceScenarios } from "./cases/namespaces.ts";
import { snapshotScenarios } from "./cases/snapshots.ts";
import { taskScenarios } from "./cases/tasks.ts";
import { versionScenarios } from "./cases/version.ts";
import { wireScenarios } from "./cases/wire.ts";
import type { Scenario } from "./script.ts";

/** Every scenario, in the order in which they run. */
export const scenarios: readonly Scenario[] = [
  ...versionScenarios,
  ...namespaceScenarios,
  ...containerScenarios,
  ...imageScenarios,
  ...leaseScenarios,
  ...eventScenarios,
  ...contentScenarios,
  ...snapshotScenarios,
  ...diffScenarios,
  ...introspectionScenarios,
  ...taskScenarios,
  ...wireScenarios,
  ...collectionScenarios,
];
