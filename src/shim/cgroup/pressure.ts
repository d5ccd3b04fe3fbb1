interface Pressure {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: bigint;
}

/** How long tasks waited for a resource: some of them, or all at once. */
export interface PressureStalls {
  readonly some?: Pressure;
  readonly full?: Pressure;
}

/** Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; undefined without the file. Source: kernel Documentation/accounting/psi.rst. */
export function parsePressure(text: string | undefined): PressureStalls | undefined {
  if (text === undefined) return undefined;
  const found: { some?: Pressure; full?: Pressure } = {};
  for (const line of text.split("\n")) {
    const [kind, ...pairs] = line.split(" ");
    if (kind === "some" || kind === "full") found[kind] = pressureOf(pairs);
  }
  return found;
}

function pressureOf(pairs: readonly string[]): Pressure {
  const values = new Map(pairs.map((pair) => pair.split("=") as [string, string]));
  const share = (name: string): number => Number(values.get(name) ?? 0) || 0;
  const total = values.get("total") ?? "";
  return {
    avg10: share("avg10"),
    avg60: share("avg60"),
    avg300: share("avg300"),
    total: /^\d+$/.test(total) ? BigInt(total) : 0n,
  };
}
