//! Completions for shells.
//! In: the table, a shell.  Out: a script to be sourced.  Owns: the scripts around the table.

use crate::cli::flags::{FLAGS, Flag, Kind, Verb};

/// A shell that completions can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// By its lowercase name.
    pub(crate) fn named(name: &str) -> Option<Shell> {
        match name {
            "bash" => Some(Shell::Bash),
            "zsh" => Some(Shell::Zsh),
            "fish" => Some(Shell::Fish),
            _ => None,
        }
    }
}

/// The script, as `tailwater help bash` prints it.
pub(crate) fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// What may follow the verb `help`.
const TOPICS: &str = "run check inspect archive config man bash zsh fish";

const BASH: &str = r#"# bash completion for tailwater
_tailwater() {
    local cur="${COMP_WORDS[COMP_CWORD]}" flag="" inline=""
    local names="@NAMES@"
    COMPREPLY=()
    # Readline makes three words of -flag=value.
    if [[ $cur == "=" ]]; then
        flag="${COMP_WORDS[COMP_CWORD-1]}" inline=1 cur=""
    elif (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[COMP_CWORD-1]} == "=" ]]; then
        flag="${COMP_WORDS[COMP_CWORD-2]}" inline=1
    elif (( COMP_CWORD > 1 )); then
        flag="${COMP_WORDS[COMP_CWORD-1]}"
    fi
    if [[ $flag == -* ]]; then
        flag="${flag#-}"
        case "${flag#-}" in
            @FILES@)
                compopt -o filenames 2>/dev/null
                COMPREPLY=($(compgen -f -- "$cur"))
                return ;;
@CHOICES@            @BOOLS@)
                if [[ $inline ]]; then
                    COMPREPLY=($(compgen -W "true false" -- "$cur"))
                    return
                fi ;;
            @OTHERS@)
                return ;;
        esac
    fi
    if [[ $cur == --* ]]; then
        COMPREPLY=($(compgen -P "--" -W "$names" -- "${cur#--}"))
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -P "-" -W "$names" -- "${cur#-}"))
    elif (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W "@VERBS@" -- "$cur"))
    elif [[ $flag == help ]]; then
        COMPREPLY=($(compgen -W "@TOPICS@" -- "$cur"))
    fi
}
complete -F _tailwater tailwater
"#;

fn bash() -> String {
    let names = |separator: &str, wanted: &dyn Fn(&Flag) -> bool| {
        FLAGS.iter().filter(|flag| wanted(flag)).map(|flag| flag.name).collect::<Vec<_>>().join(separator)
    };
    let hinted = |kind: Kind| matches!(kind, Kind::File | Kind::Bool | Kind::OneOf(_));
    let mut choices = String::new();
    for flag in &FLAGS {
        if let Kind::OneOf(values) = flag.kind {
            let answer = format!("COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))", values.join(" "));
            choices.push_str(&format!("            {})\n                {answer}\n", flag.name));
            choices.push_str("                return ;;\n");
        }
    }
    BASH.replace("@NAMES@", &names(" ", &|_| true))
        .replace("@FILES@", &names("|", &|flag| flag.kind == Kind::File))
        .replace("@CHOICES@", &choices)
        .replace("@BOOLS@", &names("|", &|flag| flag.kind == Kind::Bool))
        .replace("@OTHERS@", &names("|", &|flag| !hinted(flag.kind)))
        .replace("@VERBS@", &Verb::ALL.map(Verb::name).join(" "))
        .replace("@TOPICS@", TOPICS)
}

fn zsh() -> String {
    let mut out =
        "#compdef tailwater\n_tailwater() {\n    local -a flags commands\n    commands=(\n".to_owned();
    for verb in Verb::ALL {
        out.push_str(&format!("        {}\n", quoted(&format!("{}:{}", verb.name(), verb.about()), "'\\''")));
    }
    out.push_str("    )\n    flags=(\n");
    for flag in &FLAGS {
        let help = flag.help.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]");
        let value = match flag.kind {
            Kind::Bool => "-::value:(true false)".to_owned(),
            Kind::File => ":file:_files".to_owned(),
            Kind::OneOf(values) => format!(":value:({})", values.join(" ")),
            _ => ":value: ".to_owned(),
        };
        let (before, after) = match value.strip_prefix('-') {
            Some(after) => ("=-", after),
            None => ("=", value.as_str()),
        };
        let rest = quoted(&format!("{}{before}[{help}]{after}", flag.name), "'\\''");
        out.push_str(&format!("        {{-,--}}{rest}\n"));
    }
    out.push_str("    )\n    _arguments $flags '1::command:{_describe command commands}' ");
    out.push_str(&format!("'2::topic:({TOPICS})'\n}}\n"));
    // Found by its name in fpath, the file is the body of the function; sourced, it only defines it.
    out.push_str("if [[ ${funcstack[1]} == _tailwater ]]; then _tailwater \"$@\"\n");
    out.push_str("else compdef _tailwater tailwater; fi\n");
    out
}

fn fish() -> String {
    let mut out = "# fish completion for tailwater\ncomplete -c tailwater -f\n".to_owned();
    for verb in Verb::ALL {
        let about = quoted(verb.about(), "\\'");
        out.push_str(&format!(
            "complete -c tailwater -n __fish_use_subcommand -a {} -d {about}\n",
            verb.name()
        ));
    }
    out.push_str(&format!("complete -c tailwater -n '__fish_seen_subcommand_from help' -a '{TOPICS}'\n"));
    for flag in &FLAGS {
        let value = match flag.kind {
            Kind::Bool => String::new(),
            Kind::File => " -r -F".to_owned(),
            Kind::OneOf(values) => format!(" -x -a '{}'", values.join(" ")),
            _ => " -x".to_owned(),
        };
        let (name, help) = (flag.name, quoted(flag.help, "\\'"));
        out.push_str(&format!("complete -c tailwater -o {name} -l {name}{value} -d {help}\n"));
    }
    out
}

/// In single quotes, with each within the text written as `quote`.
fn quoted(text: &str, quote: &str) -> String {
    format!("'{}'", text.replace('\'', quote))
}
