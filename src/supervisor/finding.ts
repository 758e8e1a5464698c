/** One thing the daemon needs, and whether it is here. "limited" means it runs, but something does not work. */
export interface Finding {
  readonly what: string;
  readonly state: 'ok' | 'limited' | 'missing';
  readonly found: string;
  /** What to do about it; nothing to do if it is ok. */
  readonly advice: string;
}
