/** A metric on a page: its type, and its numbers by their labels. */
export interface PageMetric {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly PageSample[];
}

export interface PageSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

interface Growing {
  type: string | undefined;
  help: string | undefined;
  readonly samples: PageSample[];
}

const typesThereAre = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);
const nameForm = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/**
 * Reads a page in Prometheus' text format as strictly as its own check does.
 * Errors: a heading that comes twice or too late, a type that is none, a series that comes twice, lines of a metric that are
 * not together, labels that are malformed, numbers that are none, histograms whose buckets do not add up.
 * Source: prometheus/docs, instrumenting/exposition_formats.md, version 0.0.4.
 */
export function readPage(text: string): ReadonlyMap<string, PageMetric> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const metrics = new Map<string, Growing>();
  const seen = new Set<string>();
  let current: string | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    if (line.trim() === "") continue;
    const heading = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line);
    if (heading === null && line.startsWith("#")) continue;
    const sample = heading === null ? readSample(line) : undefined;
    const name = heading?.[2] ?? familyOf(sample!.name, metrics);
    if (name !== current && metrics.has(name)) throw new Error(`${name} is not together: ${line}`);
    current = name;
    const metric = metrics.get(name) ?? { type: undefined, help: undefined, samples: [] };
    metrics.set(name, metric);
    if (heading !== null) readHeading(metric, heading[1]!, heading[3]!, line);
    if (sample === undefined) continue;
    const labels = [...sample.labels].toSorted(([a], [b]) => (a < b ? -1 : 1));
    const series = `${sample.name} ${JSON.stringify(labels)}`;
    if (seen.has(series)) throw new Error(`twice: ${line}`);
    seen.add(series);
    metric.samples.push(sample);
  }
  for (const [name, metric] of metrics) checkMetric(name, metric);
  return new Map(
    [...metrics].map(([name, { type = "untyped", help = "", samples }]) => [name, { type, help, samples }]),
  );
}

function readHeading(metric: Growing, kind: string, rest: string, line: string): void {
  if (metric.samples.length > 0) throw new Error(`a heading after numbers: ${line}`);
  if (kind === "HELP") {
    if (metric.help !== undefined) throw new Error(`twice: ${line}`);
    if (/\\(?![\\n])/.test(rest.replaceAll("\\\\", ""))) throw new Error(`malformed: ${line}`);
    metric.help = rest;
    return;
  }
  if (metric.type !== undefined) throw new Error(`twice: ${line}`);
  if (!typesThereAre.has(rest)) throw new Error(`no type: ${line}`);
  metric.type = rest;
}

/** The metric that a line is of: that of a histogram's bucket, sum or count is the histogram. */
function familyOf(name: string, metrics: ReadonlyMap<string, Growing>): string {
  if (metrics.has(name)) return name;
  const base = name.replace(/_(?:bucket|sum|count)$/, "");
  const type = metrics.get(base)?.type;
  return type === "histogram" || type === "summary" ? base : name;
}

function readSample(line: string): PageSample {
  const found = /^([^\s{]+)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/.exec(line);
  if (found === null || !nameForm.test(found[1]!)) throw new Error(`malformed: ${line}`);
  const [, name = "", labels = "", number = ""] = found;
  return { name, labels: readLabels(labels, line), value: readNumber(number, line) };
}

function readLabels(text: string, line: string): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  for (let rest = text; rest !== ""; ) {
    const found = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest);
    if (found === null) throw new Error(`malformed labels: ${line}`);
    const [whole, name = "", value = ""] = found;
    if (labels.has(name)) throw new Error(`a label twice: ${line}`);
    labels.set(
      name,
      value.replace(/\\(["\\n])/g, (_all, one: string) => (one === "n" ? "\n" : one)),
    );
    rest = rest.slice(whole.length);
  }
  return labels;
}

function readNumber(text: string, line: string): number {
  if (/^[+-]Inf$/.test(text)) return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (text !== "NaN" && Number.isNaN(value)) throw new Error(`no number: ${line}`);
  return value;
}

function checkMetric(name: string, { type, help, samples }: Growing): void {
  if (type === undefined || help === undefined) throw new Error(`${name} has no type or no help`);
  if (type === "counter" && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} counts below zero`);
  if (type === "histogram") checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly PageSample[]): void {
  const of = new Map<string, { buckets: [number, number][]; sum?: number; count?: number }>();
  for (const sample of samples) {
    const rest = [...sample.labels].filter(([label]) => label !== "le");
    const one = of.getOrInsert(JSON.stringify(rest), { buckets: [] });
    if (sample.name === `${name}_bucket`)
      one.buckets.push([readNumber(sample.labels.get("le") ?? "", name), sample.value]);
    else if (sample.name === `${name}_sum`) one.sum = sample.value;
    else if (sample.name === `${name}_count`) one.count = sample.value;
    else throw new Error(`${sample.name} is no part of a histogram`);
  }
  for (const [labels, { buckets, sum, count }] of of) {
    const isRising = buckets.every(([bound, value], at) => {
      const before = buckets[at - 1];
      return before === undefined || (bound > before[0] && value >= before[1]);
    });
    const last = buckets.at(-1);
    const isWhole = last?.[0] === Number.POSITIVE_INFINITY && last[1] === count && sum !== undefined;
    if (!isRising || !isWhole) throw new Error(`${name}${labels} does not add up`);
  }
}
