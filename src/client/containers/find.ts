import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { fault, isFault, notFound, quote } from "../../lib/faults.ts";
import type { Client } from "../client.ts";

/**
 * Finds a container by its id or the start of it.
 * Errors: notFound; failedPrecondition when more than one begins so.
 */
export async function findContainer(client: Client, given: string): Promise<Container> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(given)) throw notFound(`container ${quote(given)}`);
  try {
    const { container } = await client.containers.get({ id: given });
    if (container !== undefined) return container;
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
  const pattern = `^${given.replaceAll(".", "\\.")}`;
  const { containers } = await client.containers.list({ filters: [`id~=${JSON.stringify(pattern)}`] });
  const [only, another] = containers.filter(({ id }) => id.startsWith(given));
  if (only === undefined) throw notFound(`container ${quote(given)}`);
  if (another === undefined) return only;
  const names = containers.slice(0, 4).map(({ id }) => id);
  throw fault("failedPrecondition", `${quote(given)} is the start of ${names.join(", ")}`);
}
