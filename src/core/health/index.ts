export { HealthMonitor, type HealthMonitorOptions } from "./health-monitor.ts";
export { createHealthService } from "./service.ts";
export { StateFiles } from "./state-files.ts";
