import { describe, expect, test } from "bun:test";
import { restartLabels as labels } from "../../lib/restart-labels.ts";
import type { SeenTask } from "./seen-task.ts";
import { type Facts, judge } from "./verdict.ts";

const none: SeenTask = { kind: "none", pid: 0, exitStatus: undefined, end: undefined, trouble: undefined };
const ended = (exitStatus: number): SeenTask => ({ ...none, kind: "stopped", exitStatus, end: "1.0" });
const running: SeenTask = { ...none, kind: "running" };
const created: SeenTask = { ...none, kind: "created" };

type Case = readonly [
  policy: string | undefined,
  more: Readonly<Record<string, string>>,
  seen: SeenTask,
  facts: Partial<Facts>,
  act: string,
];

const stoppedLabel = { [labels.explicitlyStopped]: "true" };
const paid = JSON.stringify({ state: "waiting", count: 1, waitMs: 100, reason: "r", task: "1.0", exitStatus: 1 });

const cases: readonly Case[] = [
  [undefined, {}, ended(0), {}, "restart"],
  ["", {}, ended(0), {}, "restart"],
  ["always", {}, running, {}, "nothing"],
  ["always", {}, { ...running, kind: "paused" }, {}, "nothing"],
  ["always", {}, { ...running, kind: "unknown" }, {}, "nothing"],
  ["always", {}, created, {}, "restart"],
  ["always", {}, none, {}, "restart"],
  ["always", stoppedLabel, ended(0), {}, "nothing"],
  ["always", stoppedLabel, ended(0), { atStart: true }, "restart"],
  ["always:3", {}, ended(0), {}, "refuse"],
  ["no", {}, ended(1), {}, "nothing"],
  ["unless-stopped", {}, ended(1), {}, "restart"],
  ["unless-stopped", stoppedLabel, ended(1), { atStart: true }, "nothing"],
  ["unless-stopped", { [labels.explicitlyStopped]: "no way" }, ended(1), {}, "restart"],
  ["on-failure", {}, ended(1), {}, "restart"],
  ["on-failure", {}, ended(0), {}, "end"],
  ["on-failure", {}, created, {}, "nothing"],
  ["on-failure", {}, none, {}, "nothing"],
  ["on-failure", {}, none, { ranBefore: true }, "restart"],
  ["on-failure", {}, none, { ranBefore: true, heardExit: 0 }, "end"],
  ["on-failure", {}, none, { heardExit: 1 }, "restart"],
  ["on-failure", { [labels.record]: '{"state":"ended","exitStatus":0}' }, none, { ranBefore: true }, "end"],
  ["on-failure:0", { [labels.count]: "99" }, ended(1), {}, "restart"],
  ["on-failure:3", { [labels.count]: "2" }, ended(1), {}, "restart"],
  ["on-failure:3", { [labels.count]: "3" }, ended(1), {}, "end"],
  ["on-failure:-1", {}, ended(1), {}, "end"],
  ["on-failure:3", { [labels.count]: "-7" }, ended(1), {}, "restart"],
  ["on-failure:3", { [labels.count]: "x" }, ended(1), {}, "refuse"],
  ["on-failure:x", {}, ended(1), {}, "refuse"],
  // What is paid for is done, though the count has come to its end with it.
  ["on-failure:1", { [labels.count]: "1", [labels.record]: paid }, ended(1), {}, "restart"],
  ["on-failure:1", { [labels.count]: "1", [labels.record]: paid }, none, {}, "restart"],
  ["on-failure:1", { [labels.count]: "1", [labels.record]: paid }, created, {}, "restart"],
  ["on-failure:1", { [labels.count]: "1", [labels.record]: paid }, { ...ended(1), end: "2.0" }, {}, "end"],
  ["always", { [labels.status]: "stopped" }, running, {}, "stop"],
  ["always", { [labels.status]: "stopped" }, created, {}, "stop"],
  ["always", { [labels.status]: "stopped" }, ended(0), {}, "nothing"],
  ["always", { [labels.status]: "stopped" }, none, {}, "nothing"],
  ["always", { [labels.status]: "created" }, ended(0), {}, "nothing"],
  ["always", { [labels.status]: "banana" }, ended(0), {}, "refuse"],
];

function nameOf([policy, more, seen, facts, act]: Case): string {
  const facets = [
    policy ?? "no policy",
    ...Object.entries(more).map(([key, value]) => `${key.replace(/.*\./, "")}=${value}`),
  ];
  return `${facets.join(" ")}, ${seen.kind} ${seen.exitStatus ?? ""} ${JSON.stringify(facts)}: ${act}`;
}

describe("judge", () => {
  const named = cases.map((one) => [nameOf(one), ...one] as const);
  test.each(named)("%s", (_name, policy, more, seen, facts, act) => {
    const given = { [labels.status]: "running", ...(policy === undefined ? {} : { [labels.policy]: policy }), ...more };
    const all: Facts = { heardExit: undefined, ranBefore: false, atStart: false, ...facts, seen };
    expect(judge(given, all).act).toBe(act as ReturnType<typeof judge>["act"]);
  });
});
