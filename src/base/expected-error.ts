/** A failure the user can do something about: shown as one line, without a stack. */
export class ExpectedError extends Error {
  override readonly name = 'ExpectedError';
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
