import { measureDensity } from "../density.ts";
import { startSide } from "../sides.ts";
import { short } from "../statistics.ts";

const sleepers = 30;

/** ADR 2: what a container more costs in daemon and shims, with one host for all and with a shim for each. */
export async function measureShimHost(): Promise<readonly string[]> {
  const growth: number[] = [];
  const whole: number[] = [];
  const lines: string[] = [];
  for (const name of ["lighter", "containerd"] as const) {
    await using side = await startSide(name, "runc");
    const { idle, loaded, processes } = await measureDensity(side, sleepers);
    growth.push(Math.max(loaded - idle, 0.001) / sleepers);
    whole.push(loaded);
    lines.push(`${name}: ${processes} processes with ${sleepers} containers asleep`);
  }
  const [ours = Number.NaN, theirs = Number.NaN] = growth;
  return [
    ...lines,
    `memory of one container more, lighter : containerd: ${short(ours / theirs)}`,
    `memory of daemon and shims with ${sleepers} containers: ${short((whole[0] ?? Number.NaN) / (whole[1] ?? Number.NaN))}`,
  ];
}
