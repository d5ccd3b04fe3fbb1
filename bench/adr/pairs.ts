import { pairedRatio, short, summarize } from "../statistics.ts";

/** Something that is measured several times, beside another. Answers with one figure, less being better. */
export type Measured = () => Promise<number> | number;

/** Measures two things in turn, and answers with the median ratio of the first to the second and its spread. */
export async function ratioInTurn(first: Measured, second: Measured, rounds: number): Promise<string> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(await first());
    theirs.push(await second());
  }
  const each = summarize(ours.map((value, index) => value / (theirs[index] ?? Number.NaN)));
  return `${short(pairedRatio(ours, theirs))} (${short(each.low)}-${short(each.high)}, ${rounds} pairs)`;
}
