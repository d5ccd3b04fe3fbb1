// Pulls, imports and exports an image of real files on lighter and on containerd in turn, from a registry of its own.
// usage: bun bench/images.ts [--megabytes 500] [--layers 10] [--rounds 5] [--work "pull by ctr"] [--side lighter]
import fs from "node:fs";
import { parseArgs } from "node:util";
import { type Daemon, startContainerd, startLighter } from "../test/support/index.ts";
import { writeBigImage } from "./images/big-image.ts";
import { openFreshDisk } from "./images/fresh-disk.ts";
import { type Harbour, openHarbour } from "./images/harbour.ts";
import { type Figure, measureWork, type Work } from "./images/measure.ts";
import { program } from "./sides.ts";
import { pairedRatio, short, summarize } from "./statistics.ts";

export interface ImagesOptions {
  readonly layers: number;
  readonly megabytes: number;
  readonly rounds: number;
  readonly works?: readonly Work[] | undefined;
  readonly sides?: readonly Daemon["kind"][] | undefined;
}

/** What was measured, and with what. */
export interface ImagesRecord {
  readonly image: Harbour["image"];
  readonly figures: readonly Figure[];
}

interface Row {
  readonly work: Work;
  /** What containerd's clients do for the same end. */
  readonly theirs: Work;
  /** How many times as fast as containerd it is meant to be. */
  readonly aim: number;
}

const rows: readonly Row[] = [
  { work: "pull by transfer", theirs: "pull by ctr", aim: 2 },
  { work: "pull by ctr", theirs: "pull by ctr", aim: 1 },
  { work: "import by transfer", theirs: "import by ctr", aim: 1.5 },
  { work: "import by ctr", theirs: "import by ctr", aim: 1 },
  { work: "export by ctr", theirs: "export by ctr", aim: 1 },
];
/** By so much may the daemon's memory grow. */
const growthAimMegabytes = 40;

/** Each piece of work on a daemon of its own, the sides in turn within a round. */
export async function benchImages(options: ImagesOptions): Promise<ImagesRecord> {
  const { layers, megabytes, rounds, works = rows.map(({ work }) => work) } = options;
  await using harbour = await openHarbour((folder) => writeBigImage(folder, layers, megabytes * 1e6));
  // Ends after the disk, so that nothing is removed file by file.
  await using daemons = new AsyncDisposableStack();
  await using _disk = await openFreshDisk();
  const figures: Figure[] = [];
  const turn = async (kind: Daemon["kind"], work: Work, round: number): Promise<void> => {
    const daemon =
      kind === "lighter" ? await startLighter(lighterOptions()) : await startContainerd({ logLevel: "info" });
    // Not before all is measured: see the disk.
    daemons.defer(() => daemon.workspace[Symbol.asyncDispose]());
    const figure = await measureWork(daemon, work, harbour, round);
    await daemon.stop();
    figures.push(figure);
    const growth = `${figure.growthMegabytes.toFixed(0)} MB more memory`;
    console.error(
      `${kind} ${work}: ${figure.seconds.toFixed(2)} s, ${figure.cpuSeconds.toFixed(1)} s of CPU, ${growth}`,
    );
  };
  for (let round = 0; round < rounds; round++) {
    for (const work of works) {
      const sides = (["lighter", "containerd"] as const).filter((side) => options.sides?.includes(side) !== false);
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        if (side === "lighter" || work.endsWith("by ctr")) await turn(side, work, round);
      }
    }
  }
  return { image: harbour.image, figures };
}

/** What people install, where it was built: `npm run build`. */
function lighterOptions(): { logLevel: "info"; program?: string } {
  return { logLevel: "info", ...(fs.existsSync(program) ? { program } : {}) };
}

/** The page as Markdown: medians, and ratios of what was measured in turn. */
export function imagesTable({ image, figures }: ImagesRecord): string {
  const { unpackedBytes, packedBytes, layers } = image;
  return [
    `An image of ${layers} layers, ${(packedBytes / 1e6).toFixed(0)} MB packed, ${(unpackedBytes / 1e6).toFixed(0)} MB of files.`,
    "",
    "| work | lighter | containerd | times as fast | CPU, lighter | CPU, containerd | growth, lighter | growth, containerd | aim |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${cellsOf(row, figures).join(" | ")} |`),
  ].join("\n");
}

function cellsOf({ work, theirs, aim }: Row, figures: readonly Figure[]): string[] {
  const [ours, peers] = [sideOf(figures, "lighter", work), sideOf(figures, "containerd", theirs)];
  const seconds = (side: readonly Figure[]): number[] => side.map((one) => one.seconds);
  const median = (side: readonly Figure[], pick: (one: Figure) => number): string =>
    side.length === 0 ? "" : short(summarize(side.map(pick)).median);
  if (ours.length === 0) return [work, "", "", "", "", "", "", "", ""];
  const ratio = peers.length === 0 ? Number.NaN : pairedRatio(seconds(peers), seconds(ours));
  const growth = summarize(ours.map((one) => one.growthMegabytes)).median;
  const met = (holds: boolean): string => (holds ? "met" : "missed");
  return [
    work,
    `${median(ours, (one) => one.seconds)} s`,
    `${median(peers, (one) => one.seconds)} s`,
    ratio.toFixed(2),
    `${median(ours, (one) => one.cpuSeconds)} s`,
    `${median(peers, (one) => one.cpuSeconds)} s`,
    `${growth.toFixed(0)} MB`,
    `${median(peers, (one) => one.growthMegabytes)} MB`,
    `≥ ${aim}: ${met(ratio >= aim)}, growth ≤ ${growthAimMegabytes} MB: ${met(growth <= growthAimMegabytes)}`,
  ];
}

/** In the order of the rounds. */
function sideOf(figures: readonly Figure[], kind: Daemon["kind"], work: Work): readonly Figure[] {
  return figures.filter((one) => one.kind === kind && one.what === work).toSorted((a, b) => a.round - b.round);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      megabytes: { type: "string", default: "500" },
      layers: { type: "string", default: "10" },
      rounds: { type: "string", default: "5" },
      work: { type: "string", multiple: true },
      side: { type: "string" },
    },
  });
  const record = await benchImages({
    layers: Number(values.layers),
    megabytes: Number(values.megabytes),
    rounds: Number(values.rounds),
    works: values.work as readonly Work[] | undefined,
    sides: values.side === undefined ? undefined : [values.side as Daemon["kind"]],
  });
  console.log(`\n${imagesTable(record)}`);
}
