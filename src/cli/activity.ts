import type { Client } from "../client/client.ts";
import type { Activity } from "./disk-report.ts";

/** Source: containerd api/types/task/task.proto, Status. */
const stoppedStatus = 3;

/** What runs, and from which images. */
export async function readActivity(client: Client): Promise<Activity> {
  const [{ containers }, { tasks }] = await Promise.all([client.containers.list({}), client.tasks.list({})]);
  return {
    running: new Set(tasks.filter(({ status }) => status !== stoppedStatus).map(({ id }) => id)),
    imageOf: new Map(containers.filter(({ image }) => image !== "").map(({ id, image }) => [id, image])),
  };
}
