export {
  type CurrentStore,
  compareForHandback,
  type Handback,
  type HandbackItem,
  type HandbackState,
} from "./handback.ts";
export { datedRecord, type HandbackRecord, leaseRecord } from "./handback-records.ts";
export { type PlanReport, planLines, planReport } from "./plan-report.ts";
export { planOf, type TakenRoot, type TakeoverMode, type TakeoverOptions, takeOver } from "./takeover.ts";
