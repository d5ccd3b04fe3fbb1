// Pulls, imports and exports an image of real files on lighter and on containerd in turn, from a registry of its own.
// usage: bun bench/images.ts [--megabytes 500] [--layers 10] [--rounds 5]
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { startContainerd, startLighter } from "../test/support/index.ts";
import { writeBigImage } from "./images/big-image.ts";
import { openHarbour } from "./images/harbour.ts";
import { type Figure, measureImages } from "./images/measure.ts";

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "500" },
    layers: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
  },
});

await using harbour = await openHarbour((folder) =>
  writeBigImage(folder, Number(values.layers), Number(values.megabytes) * 1e6),
);
// What people install, where it was built: `npm run build`.
const built = path.resolve(import.meta.dir, "../dist/lighterd");
const program = fs.existsSync(built) ? built : undefined;
await using lighter = await startLighter({ logLevel: "info", ...(program === undefined ? {} : { program }) });
await using containerd = await startContainerd({ logLevel: "info" });
const figures: Figure[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const order = round % 2 === 0 ? [lighter, containerd] : [containerd, lighter];
  for (const daemon of order) {
    for (const figure of await measureImages(daemon, harbour)) {
      figures.push({ ...figure, round });
      const growth = `${figure.growthMegabytes.toFixed(0)} MB more memory`;
      console.error(
        `${daemon.kind} ${figure.what}: ${figure.seconds.toFixed(2)} s, ${figure.cpuSeconds.toFixed(1)} s of CPU, ${growth}`,
      );
    }
  }
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
const { unpackedBytes, packedBytes, layers } = harbour.image;
console.log(
  `\n${layers} layers, ${(packedBytes / 1e6).toFixed(0)} MB packed, ${(unpackedBytes / 1e6).toFixed(0)} MB of files; medians\n`,
);
console.log(
  "| work | lighter | containerd | ratio in pairs | CPU, lighter | CPU, containerd | growth, lighter | growth, containerd |",
);
console.log("| --- | --- | --- | --- | --- | --- | --- | --- |");
for (const [what, theirs] of [
  ["pull by transfer", "pull by ctr"],
  ["pull by ctr", "pull by ctr"],
  ["import by transfer", "import by ctr"],
  ["import by ctr", "import by ctr"],
  ["export by ctr", "export by ctr"],
] as const) {
  const ours = figures.filter((one) => one.kind === "lighter" && one.what === what);
  const peers = figures.filter((one) => one.kind === "containerd" && one.what === theirs);
  const ratios = ours.map(
    ({ round, seconds }) => (peers.find((one) => one.round === round)?.seconds ?? Number.NaN) / seconds,
  );
  const of = (list: readonly Figure[], take: (one: Figure) => number, digits: number): string =>
    median(list.map(take)).toFixed(digits);
  const cells = [
    `${of(ours, (one) => one.seconds, 2)} s`,
    `${of(peers, (one) => one.seconds, 2)} s`,
    median(ratios).toFixed(2),
    `${of(ours, (one) => one.cpuSeconds, 1)} s`,
    `${of(peers, (one) => one.cpuSeconds, 1)} s`,
    `${of(ours, (one) => one.growthMegabytes, 0)} MB`,
    `${of(peers, (one) => one.growthMegabytes, 0)} MB`,
  ];
  console.log(`| ${what} | ${cells.join(" | ")} |`);
}
