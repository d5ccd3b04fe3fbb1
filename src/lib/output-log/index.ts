export { type LogTarget, logAddress, logTargetOf, stderrTargetOf, targetsOf, timesPathOf } from "./log-address.ts";
export { LogRecorder, type LogRecorderOptions } from "./log-recorder.ts";
export { type LogTimes, readLogTimes } from "./log-times.ts";
