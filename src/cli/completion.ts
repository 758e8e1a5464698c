import type { Argv } from 'yargs';
import { UsageError } from '../base/expected-error.js';

/** What each shell asks bus1fs, which answers in the way of the shell that SHELL names. */
const SCRIPTS = {
  bash: `_bus1fs() {
  mapfile -t COMPREPLY < <(compgen -W "$(SHELL=bash bus1fs --get-yargs-completions "\${COMP_WORDS[@]}")" -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o bashdefault -o default -F _bus1fs bus1fs
`,
  zsh: `#compdef bus1fs
_bus1fs() {
  local -a reply=("\${(@f)$(SHELL=zsh bus1fs --get-yargs-completions "\${words[@]}")}")
  if [[ -n $reply ]]; then _describe 'values' reply; else _default; fi
}
compdef _bus1fs bus1fs
`,
  fish: `complete --command bus1fs --arguments '(SHELL=fish bus1fs --get-yargs-completions (commandline --tokenize --current-process --cut-at-cursor) (commandline --current-token))'
`,
} as const;

const SHELLS = Object.keys(SCRIPTS) as (keyof typeof SCRIPTS)[];

export const addCompletion = (cli: Argv): Argv =>
  cli.command(
    'completion [shell]',
    'print what makes a shell complete the words of bus1fs',
    (args) =>
      args.positional('shell', { describe: 'which shell', choices: SHELLS }).example([
        ['$0 completion bash >/etc/bash_completion.d/bus1fs', 'for all who use bash'],
        ['$0 completion zsh >/usr/local/share/zsh/site-functions/_bus1fs', 'for zsh'],
        ['$0 completion fish >~/.config/fish/completions/bus1fs.fish', 'for fish'],
      ]),
    ({ shell }) => {
      if (shell === undefined) throw new UsageError(`say for which shell: ${SHELLS.join(', ')}`);
      process.stdout.write(SCRIPTS[shell]);
    },
  );
