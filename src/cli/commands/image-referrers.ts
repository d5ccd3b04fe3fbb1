import { nameCandidates } from "../../client/images/names.ts";
import { listReferrers, type Referrer } from "../../client/transfers/transfer.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { givenAccess, registryAccess, registryError, registryOptions } from "../registry-options.ts";
import { type Column, printTable } from "../table.ts";
import { formatBytes } from "../units.ts";

export const command: Command = {
  summary: "List what refers to an image in its registry",
  usage: "[OPTIONS] IMAGE",
  description:
    "Signatures, bills of materials and whatever else was attached to it there. pull brings one by its digest: NAME@DIGEST.",
  options: [
    { long: "type", value: "TYPE", many: true, help: "Only artifacts of this type; may be repeated" },
    ...registryOptions,
  ],
  examples: [
    ["lighter image referrers ghcr.io/someone/app:1", "all that is attached"],
    ["lighter image referrers --type application/spdx+json app:1", "bills of materials alone"],
  ],
  words: [1, 1],
  completes: "image",
  json: true,
  run: async (context) => {
    const { args, client, json, output } = context;
    const [given = ""] = args.positional;
    const reference = nameCandidates(given).at(-1) ?? given;
    const access = await registryAccess(context, reference, givenAccess(args));
    const found = await listReferrers(client, access, args.list("type")).catch((error: unknown) => {
      throw registryError(error, "referrers of", reference);
    });
    if (json) printJson(output, { name: reference, ...found });
    else printTable(output, columns, found.referrers);
    return 0;
  },
};

const columns: readonly Column<Referrer>[] = [
  { title: "DIGEST", value: ({ digest }) => digest },
  { title: "TYPE", value: ({ artifactType }) => artifactType, shrink: true },
  { title: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
];
