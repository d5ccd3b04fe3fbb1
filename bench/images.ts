// Pulls, imports and exports an image of real files on lighter and on containerd in turn, from a registry of its own.
// usage: bun bench/images.ts [--megabytes 500] [--layers 10] [--rounds 5] [--work "pull by ctr"] [--side lighter]
import { parseArgs } from "node:util";
import { type Daemon, startContainerd, startLighter } from "../test/support/index.ts";
import { writeBigImage } from "./images/big-image.ts";
import { openFreshDisk } from "./images/fresh-disk.ts";
import { type Harbour, openHarbour } from "./images/harbour.ts";
import { type Figure, measureWork, type Work } from "./images/measure.ts";
import { programOption } from "./sides.ts";
import { summarize } from "./statistics.ts";

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
      kind === "lighter"
        ? await startLighter({ logLevel: "info", ...programOption() })
        : await startContainerd({ logLevel: "info" });
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

/** The page as Markdown: ratios of what was measured in turn, and by how much the daemons' memory grew. */
export function imagesTable({ image, figures }: ImagesRecord): string {
  const { unpackedBytes, packedBytes, layers } = image;
  return [
    `An image of ${layers} layers, ${(packedBytes / 1e6).toFixed(0)} MB packed, ${(unpackedBytes / 1e6).toFixed(0)} MB of files.`,
    "",
    "| work | times as fast as containerd | CPU time, containerd : lighter | memory, lighter | memory, containerd | aim |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${cellsOf(row, figures).join(" | ")} |`),
  ].join("\n");
}

function cellsOf({ work, theirs, aim }: Row, figures: readonly Figure[]): string[] {
  const [ours, peers] = [sideOf(figures, "lighter", work), sideOf(figures, "containerd", theirs)];
  if (ours.length === 0) return [work, "", "", "", "", ""];
  const growth = summarize(ours.map((one) => one.growthMegabytes)).median;
  const met = (holds: boolean): string => (holds ? "met" : "missed");
  const memory = `growth ≤ ${growthAimMegabytes} MB: ${met(growth <= growthAimMegabytes)}`;
  if (peers.length === 0) return [work, "", "", `+${growth.toFixed(0)} MB`, "", memory];
  const seconds = ratiosOf(peers, ours, (one) => one.seconds);
  const speed = summarize(seconds);
  const spread = seconds.length > 1 ? ` (${speed.low.toFixed(2)}-${speed.high.toFixed(2)})` : "";
  return [
    work === theirs ? work : `${work} (${theirs})`,
    `${speed.median.toFixed(2)}${spread}`,
    summarize(ratiosOf(peers, ours, (one) => one.cpuSeconds)).median.toFixed(2),
    `+${growth.toFixed(0)} MB`,
    `+${summarize(peers.map((one) => one.growthMegabytes)).median.toFixed(0)} MB`,
    `≥ ${aim}: ${met(speed.median >= aim)}, ${memory}`,
  ];
}

/** Round by round. */
function ratiosOf(peers: readonly Figure[], ours: readonly Figure[], pick: (one: Figure) => number): number[] {
  return ours.slice(0, peers.length).map((one, index) => pick(peers[index] as Figure) / pick(one));
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
