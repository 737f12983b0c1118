//! Mutants of Rust code, all of them in one text: a mutant schema (Untch, Offutt and Harrold,
//! "Mutation Analysis Using Mutant Schemata", ISSTA 1993).
//!
//! Each place that can be changed becomes a choice, `if is(7) { the change } else { what stood
//! there }`, and the program is told at its start which one is made. So thousands of mutants cost
//! one build.

use proc_macro2::LineColumn;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Block, Expr, ImplItemFn, ItemFn, ItemMod, Signature, Stmt, UnOp};

/// A place that can be changed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// Where it stands, in bytes.
    range: Range<usize>,
    /// What stands there instead; nothing, for a statement that is left out.
    instead: String,
    /// From one on.
    pub(super) line: usize,
    /// The function.
    pub(super) function: String,
    /// The change, for people.
    pub(super) change: String,
}

/// What can be changed in the text of a file.
pub(super) fn sites(text: &str) -> syn::Result<Vec<Site>> {
    let file = syn::parse_file(text)?;
    let mut finder = Finder { text, function: String::new(), sites: Vec::new() };
    finder.visit_file(&file);
    let mut sites = finder.sites;
    // What contains others comes before them.
    sites.sort_by_key(|site| (site.range.start, usize::MAX - site.range.end));
    Ok(sites)
}

/// The text with a choice at each of these sites, which have these numbers; and where each of the
/// choices stands in it. What contains others comes before them.
pub(super) fn written(text: &str, sites: &[(usize, &Site)]) -> (String, Vec<Range<usize>>) {
    let mut writer = Writer { text, sites, out: String::new(), at: vec![0..0; sites.len()] };
    writer.write(0..text.len(), 0..sites.len());
    (writer.out, writer.at)
}

/// What is added to the root of a crate whose files have choices.
pub(super) const CHOOSER: &str = r#"
#[doc(hidden)]
pub mod seedfall_mutants {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static MADE: OnceLock<(usize, Option<String>)> = OnceLock::new();
    static REACHED: [AtomicBool; SEEDFALL_MUTANTS] =
        [const { AtomicBool::new(false) }; SEEDFALL_MUTANTS];

    /// Whether this is the change that is made. What is reached is noted, if that is asked for.
    pub fn is(mutant: usize) -> bool {
        let ask = |name: &str| std::env::var(name).ok();
        let (made, note) = MADE.get_or_init(|| {
            let made = ask("SEEDFALL_MUTANT").and_then(|made| made.parse().ok());
            (made.unwrap_or(usize::MAX), ask("SEEDFALL_MUTANTS_REACHED"))
        });
        if let Some(path) = note {
            if !REACHED[mutant].swap(true, Ordering::Relaxed) {
                use std::io::Write;
                let mut file = std::fs::OpenOptions::new();
                let file = file.create(true).append(true).open(path);
                let _ = file.and_then(|mut file| file.write_all(format!("{mutant}\n").as_bytes()));
            }
        }
        mutant == *made
    }
}
"#;

struct Writer<'a> {
    text: &'a str,
    sites: &'a [(usize, &'a Site)],
    out: String,
    at: Vec<Range<usize>>,
}

impl Writer<'_> {
    /// Writes a part of the text, in which there are these sites.
    fn write(&mut self, part: Range<usize>, sites: Range<usize>) {
        let (mut from, mut next) = (part.start, sites.start);
        while next < sites.end {
            let (number, site) = self.sites[next];
            let inner = (next + 1..sites.end)
                .find(|other| site.range.end <= self.sites[*other].1.range.start)
                .unwrap_or(sites.end);
            self.out.push_str(&self.text[from..site.range.start]);
            let start = self.out.len();
            let is_statement = site.instead.is_empty();
            let open = if is_statement { "" } else { "(" };
            self.out.push_str(&format!(
                "{open}if crate::seedfall_mutants::is({number}) {{ {} }} else {{ ",
                site.instead
            ));
            self.write(site.range.clone(), next + 1..inner);
            self.out.push_str(if is_statement { " }" } else { " })" });
            self.at[next] = start..self.out.len();
            (from, next) = (site.range.end, inner);
        }
        self.out.push_str(&self.text[from..part.end]);
    }
}

struct Finder<'a> {
    text: &'a str,
    function: String,
    sites: Vec<Site>,
}

impl Finder<'_> {
    fn of(&self, node: &impl Spanned) -> &str {
        &self.text[node.span().byte_range()]
    }

    fn add(&mut self, node: &impl Spanned, instead: String, change: String) {
        let span = node.span();
        let LineColumn { line, .. } = span.start();
        let (range, function) = (span.byte_range(), self.function.clone());
        self.sites.push(Site { range, instead, line, function, change });
    }

    /// A condition that is always, or never, fulfilled. In a chain with `let`, each of the others.
    fn condition(&mut self, condition: &Expr) {
        match condition {
            Expr::Let(bound) => self.visit_expr(&bound.expr),
            Expr::Binary(both) if matches!(both.op, BinOp::And(_)) && has_let(condition) => {
                self.condition(&both.left);
                self.condition(&both.right);
            }
            _ => {
                let what = short(self.of(condition));
                for value in ["true", "false"] {
                    self.add(condition, value.to_owned(), format!("`{what}` is {value}"));
                }
                self.visit_expr(condition);
            }
        }
    }

    /// The body of a function.
    fn function(&mut self, signature: &Signature, attributes: &[Attribute], body: &Block) {
        let name = signature.ident.to_string();
        // How something is shown changes no run; and a constant cannot ask which change is made.
        if signature.constness.is_some() || name == "fmt" || is_for_tests(attributes) {
            return;
        }
        let outer = std::mem::replace(&mut self.function, name);
        self.visit_block(body);
        self.function = outer;
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, &item.attrs, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.sig, &item.attrs, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, &item.attrs, body);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if only_says(statement) {
            return;
        }
        if let Stmt::Expr(expression, Some(_)) = statement
            && is_for_its_effect(expression)
        {
            let what = short(self.of(statement));
            self.add(statement, String::new(), format!("without `{what}`"));
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_if(&mut self, choice: &'ast syn::ExprIf) {
        self.condition(&choice.cond);
        self.visit_block(&choice.then_branch);
        if let Some((_, other)) = &choice.else_branch {
            self.visit_expr(other);
        }
    }

    fn visit_expr_while(&mut self, repeated: &'ast syn::ExprWhile) {
        // Always, or never, is for most loops no end, or another place that is left out.
        if !has_let(&repeated.cond) {
            self.visit_expr(&repeated.cond);
        }
        self.visit_block(&repeated.body);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let syn::Pat::Guard(guarded) = &arm.pat {
            self.condition(&guarded.guard);
        }
        self.visit_expr(&arm.body);
    }

    fn visit_expr_binary(&mut self, both: &'ast syn::ExprBinary) {
        let other = match both.op {
            BinOp::Lt(_) => "<=",
            BinOp::Le(_) => "<",
            BinOp::Gt(_) => ">=",
            BinOp::Ge(_) => ">",
            BinOp::Eq(_) => "!=",
            BinOp::Ne(_) => "==",
            BinOp::And(_) => "||",
            BinOp::Or(_) => "&&",
            BinOp::Add(_) | BinOp::Sub(_) if self.of(&*both.right) == "1" => "",
            _ => return visit::visit_expr_binary(self, both),
        };
        let (left, op, right) = (self.of(&*both.left), self.of(&both.op), self.of(&*both.right));
        let (instead, change) = if other.is_empty() {
            (left.to_owned(), format!("`{}` without `{op} 1`", short(self.of(both))))
        } else {
            let change = format!("`{other}` for `{op}` in `{}`", short(self.of(both)));
            (format!("{left} {other} {right}"), change)
        };
        self.add(both, instead, change);
        visit::visit_expr_binary(self, both);
    }

    fn visit_expr_unary(&mut self, one: &'ast syn::ExprUnary) {
        if matches!(one.op, UnOp::Not(_)) {
            let what = self.of(&*one.expr).to_owned();
            let change = format!("`{0}` for `!{0}`", short(&what));
            self.add(one, what, change);
        }
        visit::visit_expr_unary(self, one);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        let pairs = [("all", "any"), ("max", "min"), ("is_some", "is_none"), ("first", "last")];
        let other = pairs.iter().find_map(|(one, other)| match &name {
            name if name == one => Some(*other),
            name if name == other => Some(*one),
            _ => None,
        });
        if let Some(other) = other {
            let (all, method) = (call.span().byte_range(), call.method.span().byte_range());
            let before = &self.text[all.start..method.start];
            let instead = format!("{before}{other}{}", &self.text[method.end..all.end]);
            let change = format!("`{other}` for `{name}` in `{}`", short(self.of(call)));
            self.add(call, instead, change);
        }
        visit::visit_expr_method_call(self, call);
    }

    // What must be known when the program is built.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_variant(&mut self, _: &'ast syn::Variant) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}

    fn visit_expr_repeat(&mut self, repeated: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeated.expr);
    }
}

/// Whether a statement only says what happened, for coverage and for whoever reads the trace: then
/// nothing in it is worth a change.
fn only_says(statement: &Stmt) -> bool {
    match statement {
        Stmt::Expr(expression, _) => says(expression),
        _ => false,
    }
}

fn says(expression: &Expr) -> bool {
    let all_say = |block: &Block| block.stmts.iter().all(only_says);
    match expression {
        Expr::MethodCall(call) => ["reach", "ignore"].iter().any(|says| call.method == says),
        Expr::Block(block) => all_say(&block.block),
        Expr::If(choice) => {
            let otherwise = choice.else_branch.as_ref();
            !does(&choice.cond)
                && all_say(&choice.then_branch)
                && otherwise.is_none_or(|(_, other)| says(other))
        }
        Expr::Match(choice) => !does(&choice.expr) && choice.arms.iter().all(|arm| says(&arm.body)),
        Expr::Tuple(tuple) => tuple.elems.is_empty(),
        _ => false,
    }
}

/// Whether an expression may change something besides its value, by the names of what it calls.
fn does(expression: &Expr) -> bool {
    const DOES: [&str; 12] = [
        "insert",
        "remove",
        "push",
        "pop",
        "take",
        "replace",
        "extend",
        "retain",
        "entry",
        "next",
        "swap",
        "get_or_insert_with",
    ];
    struct Calls(bool);
    impl Visit<'_> for Calls {
        fn visit_expr_method_call(&mut self, call: &syn::ExprMethodCall) {
            self.0 |= DOES.iter().any(|does| call.method == does);
            visit::visit_expr_method_call(self, call);
        }
    }
    let mut calls = Calls(false);
    calls.visit_expr(expression);
    calls.0
}

/// Whether an expression is a statement for what it does, not for where it leads.
fn is_for_its_effect(expression: &Expr) -> bool {
    match expression {
        Expr::MethodCall(_) => !says(expression),
        Expr::Call(_) | Expr::Assign(_) => true,
        Expr::Try(tried) => is_for_its_effect(&tried.expr),
        Expr::Binary(both) => matches!(
            both.op,
            BinOp::AddAssign(_)
                | BinOp::SubAssign(_)
                | BinOp::BitAndAssign(_)
                | BinOp::BitOrAssign(_)
                | BinOp::MulAssign(_)
        ),
        _ => false,
    }
}

fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(both) if matches!(both.op, BinOp::And(_)) => {
            has_let(&both.left) || has_let(&both.right)
        }
        _ => false,
    }
}

/// `#[test]`, `#[cfg(test)]` and what is like it.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.segments.iter().any(|segment| segment.ident == "test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            list.tokens.clone().into_iter().any(|token| token.to_string() == "test")
        }
        _ => false,
    })
}

/// Code on one line, clipped.
fn short(code: &str) -> String {
    const MOST: usize = 60;
    let line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{sites, written};

    fn changes(code: &str) -> Vec<String> {
        let sites = sites(code).expect("it is Rust");
        sites.iter().map(|site| format!("{}: {}", site.function, site.change)).collect()
    }

    #[test]
    fn conditions_comparisons_and_statements_are_changed() {
        let code = "fn vote(&mut self) { if self.term < term && ok { self.save(); } }";
        assert_eq!(
            changes(code),
            [
                "vote: `self.term < term && ok` is true",
                "vote: `self.term < term && ok` is false",
                "vote: `||` for `&&` in `self.term < term && ok`",
                "vote: `<=` for `<` in `self.term < term`",
                "vote: without `self.save();`",
            ]
        );
    }

    #[test]
    fn what_is_for_tests_shown_or_constant_is_not_changed() {
        let code = "const A: bool = 1 < 2; const fn a() -> bool { 1 < 2 }
            #[cfg(test)] mod tests { fn a() { if b { c(); } } }
            #[test] fn b() { c(); }
            impl D { fn fmt(&self) { c(); } }
            fn d(ctx: &mut Context) { ctx.reach(\"a rare state\"); }
            fn e() { let a = [0; 1 + 1]; match a { 1 => (), _ => () } }";
        assert_eq!(changes(code), [] as [&str; 0]);
    }

    #[test]
    fn what_only_says_what_happened_is_not_changed() {
        let code = "fn f(&mut self, ctx: &mut Context) {
            ctx.reach(if self.a == b { \"one\" } else { \"other\" });
            if self.a < b { ctx.reach(\"a\"); } else if c { ctx.ignore(\"b\"); }
            match a == b { true => ctx.reach(\"a\"), false => () }
        }";
        assert_eq!(changes(code), [""; 0]);
        // Here something is done besides.
        assert_eq!(
            changes("fn f() { if self.a.insert(b) { ctx.reach(\"a\"); } }"),
            ["f: `self.a.insert(b)` is true", "f: `self.a.insert(b)` is false"]
        );
        assert_eq!(
            changes("fn f() { if a { ctx.reach(\"a\"); return; } }"),
            ["f: `a` is true", "f: `a` is false"]
        );
    }

    #[test]
    fn a_chain_with_let_keeps_its_let() {
        let code = "fn f() { if let Some(a) = b() && a > 1 && c { d(); } }";
        assert_eq!(
            changes(code),
            [
                "f: `a > 1` is true",
                "f: `a > 1` is false",
                "f: `>=` for `>` in `a > 1`",
                "f: `c` is true",
                "f: `c` is false",
                "f: without `d();`",
            ]
        );
    }

    #[test]
    fn choices_stand_in_the_text_and_within_each_other() {
        let code = "fn f(a: u8) { if a > 1 { g(a - 1); } }";
        let sites = sites(code).expect("it is Rust");
        let numbered: Vec<_> = (10..).zip(&sites).collect();
        let (text, at) = written(code, &numbered);
        assert!(syn::parse_file(&text).is_ok(), "{text}");
        let is = "crate::seedfall_mutants::is";
        let condition = format!(
            "if (if {is}(10) {{ true }} else {{ (if {is}(11) {{ false }} else {{ \
             (if {is}(12) {{ a >= 1 }} else {{ a > 1 }}) }}) }}) {{"
        );
        assert!(text.contains(&condition), "{text}");
        let call =
            format!("if {is}(13) {{  }} else {{ g((if {is}(14) {{ a }} else {{ a - 1 }})); }}");
        assert!(text.contains(&call), "{text}");
        assert_eq!(&text[at[4].clone()], format!("(if {is}(14) {{ a }} else {{ a - 1 }})"));
    }

    #[test]
    fn the_guard_of_an_arm_is_a_condition() {
        assert_eq!(
            changes("fn f(a: u8) { match a { b if b > 1 => c(), _ => d() } }"),
            ["f: `b > 1` is true", "f: `b > 1` is false", "f: `>=` for `>` in `b > 1`"]
        );
    }

    #[test]
    fn a_call_that_has_a_counterpart_becomes_it() {
        assert_eq!(
            changes("fn f() -> bool { a.iter().all(|b| !b) }"),
            ["f: `any` for `all` in `a.iter().all(|b| !b)`", "f: `b` for `!b`"]
        );
    }
}
