import type { Client } from "../../client/client.ts";
import { findBlob } from "../../client/content/blobs.ts";
import { findImage } from "../../client/images/names.ts";
import { type LeaseResource, wireResource } from "../../client/leases/leases.ts";
import { findSnapshot } from "../../client/snapshots/snapshots.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Have a lease keep something",
  usage: "[OPTIONS] LEASE KIND:NAME...",
  description: "KIND is content, snapshot, ingest or image; a NAME may be shortened as elsewhere.",
  options: [snapshotterOption, { long: "remove", help: "Let go of it instead" }],
  examples: [
    ["lighter lease add build content:4f4fb700ef54", "a blob, with what it refers to"],
    ["lighter lease add build snapshot:work", "a snapshot with its parents"],
    ["lighter lease add --remove build snapshot:work", "no more"],
  ],
  words: [2, Number.MAX_SAFE_INTEGER],
  completes: "lease",
  run: async (context) => {
    const { client, args, output } = context;
    const [id = "", ...words] = args.positional;
    const snapshotter = await snapshotterOf(context);
    return await forEach(context, words, "lease add", async (word) => {
      const found = await resourceOf(client, word, snapshotter);
      const request = { id, resource: wireResource(found) };
      if (args.flag("remove")) await client.leases.deleteResource(request);
      else await client.leases.addResource(request);
      output.line(`${found.kind}:${found.key}`);
    });
  },
};

async function resourceOf(client: Client, word: string, snapshotter: string): Promise<LeaseResource> {
  const [, kind = "", name = ""] = /^([a-z]+):(.+)$/s.exec(word) ?? [];
  switch (kind) {
    case "content":
      return { kind, key: (await findBlob(client, name)).digest };
    case "image":
      return { kind, key: (await findImage(client, name)).name };
    case "ingest":
      return { kind, key: name };
    case "snapshot":
      return { kind, key: `${snapshotter}/${(await findSnapshot(client, snapshotter, name)).name}` };
    default:
      throw new UsageError(
        `${JSON.stringify(word)} is nothing that a lease can keep`,
        "write it as content:DIGEST, snapshot:NAME, ingest:REF or image:NAME",
      );
  }
}
