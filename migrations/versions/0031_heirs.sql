-- Claims after a death: who inherits a membership, what each was given of a claim, and payouts out of it.

-- `estate` is what a claim of a death was decided from: the notice, the day, who inherits in which shares, what lacks. A claim
-- of a member who lives after all is closed by an event; 'continued' is a spouse's who pays in on.
alter table benefit_claims add column estate jsonb not null default '{}', add column closed_event bigint not null default 0;
-- squawk-ignore ban-drop-constraint
alter table benefit_claims drop constraint benefit_claims_kind_check;
alter table benefit_claims add constraint benefit_claims_kind_check check (kind in ('access', 'retirement', 'exit', 'death')) not valid;
-- squawk-ignore ban-drop-constraint
alter table benefit_claims drop constraint benefit_claims_state_check;
alter table benefit_claims add constraint benefit_claims_state_check
  check (state in ('open', 'decided', 'selling', 'payable', 'refused', 'withdrawn', 'continued')) not valid;
-- Of a death one claim at a time is under way; money that comes later is another's.
-- squawk-ignore require-concurrent-index-creation
create unique index benefit_claims_of_death on benefit_claims (member_id, product)
  where kind = 'death' and state in ('open', 'decided', 'selling');

-- Who may inherit a membership: nominees as the member named them, the spouse, heirs by law. The document is sealed under the
-- member's key; `documents` are SHA-256 by kind. Who died before, or renounces, stays with the word for it in `gone`.
create table heirs (
  member_id bigint not null, tenant_id int not null, maker int not null, heir_no smallint not null check (heir_no > 0),
  share_bp smallint not null check (share_bp between 0 and 10000), is_spouse boolean not null default false,
  product text not null, named_as text not null check (named_as in ('nominee', 'heir')),
  gone text not null default '' check (gone in ('', 'died-before', 'renounced', 'replaced')),
  documents jsonb not null default '{}', document bytea not null,
  primary key (member_id, product, heir_no)
);

-- What an heir was given of a claim: smallest units, `parts` [[pot, origin, smallest units], ...] that they are made of. A child's is in
-- trust, less what was `released` of it by the same parts; `earned` of the amount is the trust's interest. `overpaid` is what
-- they owe back, as the member lives.
create table inheritances (
  member_id bigint not null, claim_id bigint not null, amount bigint not null check (amount >= 0),
  released bigint not null default 0 check (released between 0 and amount), earned bigint not null default 0 check (earned >= 0),
  overpaid bigint not null default 0 check (overpaid between 0 and amount),
  tenant_id int not null, heir_no smallint not null, shared_on date not null, is_trust boolean not null, maker int not null,
  parts jsonb not null, released_parts jsonb not null default '[]',
  primary key (member_id, claim_id, heir_no), check (is_trust or released = 0)
);

-- A payout to an heir is out of what is due to a member's heirs, of one claim; any other (0) out of what is payable to the member.
alter table payouts add column inherited_claim bigint not null default 0, add column heir_no smallint not null default 0;
alter table payouts add constraint payouts_to_heirs check ((inherited_claim <> 0) = (heir_no <> 0)) not valid;
-- squawk-ignore require-concurrent-index-creation
create index payouts_of_heirs on payouts (tenant_id, member_id) where heir_no <> 0;
