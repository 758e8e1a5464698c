/** A failure the user can do something about: shown as one line, without a stack. */
export class ExpectedError extends Error {
  override readonly name: string = 'ExpectedError';
}

/** A command line that cannot be obeyed. */
export class UsageError extends ExpectedError {
  override readonly name = 'UsageError';
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
