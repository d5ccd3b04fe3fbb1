/** More labels of a figure, and its number. */
export type FigureValue = readonly [labels: readonly (readonly [name: string, value: string])[], value: number];

/** A metric of a container, read from what its cgroup tells. */
export interface Figure<Stats> {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  /** None where the cgroup does not tell. */
  values(stats: Stats): Iterable<FigureValue>;
}

/** A gauge of one number. */
export function gauge<Stats>(name: string, help: string, read: (stats: Stats) => bigint | undefined): Figure<Stats> {
  return {
    name: `container_${name}`,
    help,
    type: "gauge",
    *values(stats) {
      const value = read(stats);
      if (value !== undefined) yield [[], Number(value)];
    },
  };
}

/** A gauge with a number for each of several things. */
export function gauges<Stats, Part>(
  name: string,
  help: string,
  parts: (stats: Stats) => readonly Part[] | undefined,
  value: (part: Part) => bigint,
  labels: (part: Part, index: number) => FigureValue[0],
): Figure<Stats> {
  return {
    name: `container_${name}`,
    help,
    type: "gauge",
    *values(stats) {
      for (const [index, part] of (parts(stats) ?? []).entries()) yield [labels(part, index), Number(value(part))];
    },
  };
}
