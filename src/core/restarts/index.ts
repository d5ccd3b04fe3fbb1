export { type RestartMonitorOptions, startRestartMonitor } from "./restart-monitor.ts";
