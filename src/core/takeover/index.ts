export { type PlanReport, planLines, planReport } from "./plan-report.ts";
export { planOf, type TakenRoot, type TakeoverMode, type TakeoverOptions, takeOver } from "./takeover.ts";
