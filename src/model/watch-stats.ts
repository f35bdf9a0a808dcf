/** How watching one kind goes. */
export interface WatchStats {
  /** How often the whole contents were handed over, the first time included. */
  readonly relists: number;
  /** Watch requests after the first. */
  readonly watchRestarts: number;
  /** When the last event or bookmark came, on the clock of performance.now(); 0 = never. */
  readonly lastEventAt: number;
}
