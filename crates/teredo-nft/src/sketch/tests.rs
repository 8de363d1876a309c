use super::*;

fn sketch(expressions: &[Expression]) -> Option<Sketch> {
    sketch_of(Direction::In, expressions)
}

fn sketch_of(direction: Direction, expressions: &[Expression]) -> Option<Sketch> {
    let datagrams = Datagrams::of(40000..=40000);
    Sketch::new(expressions, direction, &datagrams, &HashMap::new(), None)
}

fn other(name: &str) -> Expression {
    Expression::Other(name.to_owned())
}

/// An expression that a later kernel may have, and a queue to a program, which sees samples only.
#[test]
fn an_unknown_expression_judges_packets() {
    for name in ["queue", "an expression of the future", "synproxy"] {
        let sketch = sketch(&[other(name)]).unwrap();
        assert_eq!(sketch.judged.map(|(judge, _)| judge).as_deref(), Some(name));
    }
}

/// The register is loaded anew, so the comparison is no longer about the protocol.
#[test]
fn a_register_that_is_written_to_is_forgotten() {
    let load = Expression::Load {
        field: Field::Meta(MetaKey::L4Proto),
        register: 1,
    };
    let tcp = Expression::Compare {
        register: 1,
        operator: Operator::Equal,
        value: vec![6],
    };
    let drop = || [other("limit"), Expression::Verdict(Verdict::Drop)];
    let rule = |middle: Option<Expression>| {
        let mut rule = vec![load.clone()];
        rule.extend(middle);
        rule.push(tcp.clone());
        rule.extend(drop());
        rule
    };
    assert_eq!(sketch(&rule(None)), None);
    let wide = Expression::Load {
        field: Field::Meta(MetaKey::Iifname),
        register: 0,
    };
    let constant = Expression::Constant {
        register: 0,
        value: vec![0; 8],
    };
    for written in [wide, constant, other("numgen")] {
        assert!(sketch(&rule(Some(written))).is_some_and(|sketch| sketch.judged.is_some()));
    }
}

/// A limit behind the effect changes nothing any more.
#[test]
fn the_order_of_judge_and_effect_counts() {
    let mark = Expression::SetMark { register: 0 };
    let behind = sketch(&[mark.clone(), other("limit")]).unwrap();
    assert_eq!(behind.judged, None);
    let before = sketch(&[other("limit"), mark]).unwrap();
    assert!(before.judged.is_some());
}

/// `ct state invalid drop`: no packet of a flow that goes on, but at the egress of a device those without a connection. Linux
/// refuses such a rule there, so far, and in a bridge if it was built without connections for it.
#[test]
fn at_an_egress_the_state_is_that_of_samples() {
    let rule = [
        Expression::Load {
            field: Field::Ct(CtKey::State),
            register: 0,
        },
        Expression::Mask {
            from: 0,
            to: 0,
            mask: 1_u32.to_ne_bytes().to_vec(),
            xor: vec![0; 4],
        },
        Expression::Compare {
            register: 0,
            operator: Operator::NotEqual,
            value: vec![0; 4],
        },
        Expression::Verdict(Verdict::Drop),
    ];
    assert_eq!(sketch_of(Direction::In, &rule), None);
    assert_eq!(sketch_of(Direction::Out, &rule), None);
    let judged = sketch_of(Direction::Egress, &rule).unwrap().judged;
    assert_eq!(judged.map(|(judge, _)| judge).as_deref(), Some("ct state"));
    let other = [other("ct zone"), Expression::Verdict(Verdict::Drop)];
    let judged = sketch_of(Direction::Egress, &other).unwrap().judged;
    assert_eq!(judged.map(|(judge, _)| judge).as_deref(), Some("ct zone"));
    let owner = Expression::XtMatch(Xt {
        name: "owner".to_owned(),
        revision: 1,
        data: vec![0; 24],
    });
    let drop = Expression::Verdict(Verdict::Drop);
    let rule = [owner, drop];
    assert_eq!(sketch_of(Direction::Out, &rule).unwrap().judged, None);
    let judged = sketch_of(Direction::Egress, &rule).unwrap().judged;
    assert_eq!(
        judged.map(|(judge, _)| judge).as_deref(),
        Some("owner of iptables")
    );
}
