-- A database of schema version 9, as its program left it: made with that program's own functions, dumped, and never
-- edited since. Texts that do not print are in hexadecimal. What users keep in it is described in test_upgrade.py.

CREATE TABLE users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        username TEXT NOT NULL UNIQUE
            CHECK (length(username) BETWEEN 2 AND 32 AND username NOT GLOB '*[^a-z0-9._-]*'),
        password_hash TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('user', 'manager', 'admin')),
        email TEXT CHECK (length(email) BETWEEN 3 AND 254),
        is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
        created_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', created_at) IS created_at),
        must_change_password INTEGER NOT NULL DEFAULT 0 CHECK (must_change_password IN (0, 1)),
        password_version INTEGER NOT NULL DEFAULT 1
    , seen_history_id INTEGER NOT NULL DEFAULT 0);
CREATE TABLE work_orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 120),
        description TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 10000),
        priority INTEGER NOT NULL DEFAULT 2 CHECK (priority IN (1, 2, 3, 4)),
        status TEXT NOT NULL DEFAULT 'Open'
            CHECK (status IN ('Open', 'In Progress', 'On Hold', 'Resolved', 'Cancelled')),
        requester_id INTEGER NOT NULL REFERENCES users (id),
        assignee_id INTEGER REFERENCES users (id),
        created_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', created_at) IS created_at),
        updated_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', updated_at) IS updated_at),
        resolved_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', resolved_at) IS resolved_at),
        due_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', due_at) IS due_at),
        deleted_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', deleted_at) IS deleted_at),
        computed_urgency INTEGER GENERATED ALWAYS AS
            (CASE WHEN status IN ('Resolved', 'Cancelled') THEN 8 ELSE 4 END - priority) VIRTUAL, due_rank TEXT
        GENERATED ALWAYS AS (coalesce(due_at, '9999-12-31T23:59:59+00:00')) VIRTUAL, category TEXT
        CHECK (length(category) BETWEEN 1 AND 40 AND instr(category, char(0)) = 0), is_finished INTEGER
        GENERATED ALWAYS AS (status IN ('Resolved', 'Cancelled')) VIRTUAL, urgency INTEGER, created_second INTEGER, due_by TEXT CHECK (due_by IN ('hand', 'target')), held_since TEXT
        CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', held_since) IS held_since), finished_at TEXT
        CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', finished_at) IS finished_at), resolution_seconds INTEGER, response_seconds INTEGER, response_hours INTEGER,
        CHECK ((status = 'Resolved') = (resolved_at IS NOT NULL))
    );
CREATE TABLE work_order_history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        work_order_id INTEGER NOT NULL REFERENCES work_orders (id),
        user_id INTEGER NOT NULL REFERENCES users (id),
        changed_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', changed_at) IS changed_at),
        field TEXT NOT NULL,
        old_value TEXT,
        new_value TEXT,
        note TEXT NOT NULL DEFAULT '' CHECK (length(note) <= 10000)
    );
CREATE TABLE audit_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        recorded_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', recorded_at) IS recorded_at),
        user_id INTEGER REFERENCES users (id),
        os_user TEXT NOT NULL,
        ssh_client TEXT NOT NULL,
        event TEXT NOT NULL,
        subject TEXT NOT NULL
    , subject_id INTEGER REFERENCES users (id));
CREATE TABLE work_order_counts (
        requester_id INTEGER NOT NULL REFERENCES users (id),
        status TEXT NOT NULL,
        priority INTEGER NOT NULL,
        total INTEGER NOT NULL,
        PRIMARY KEY (requester_id, status, priority)
    ) WITHOUT ROWID
    ;
CREATE TABLE password_failures (
        name_hash TEXT NOT NULL,
        client TEXT NOT NULL,
        failures INTEGER NOT NULL CHECK (failures > 0),
        last_failed_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', last_failed_at) IS last_failed_at),
        PRIMARY KEY (name_hash, client)
    ) WITHOUT ROWID
    ;
CREATE TABLE login_clients (
        user_id INTEGER NOT NULL REFERENCES users (id),
        client TEXT NOT NULL,
        last_login_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', last_login_at) IS last_login_at),
        PRIMARY KEY (user_id, client)
    ) WITHOUT ROWID
    ;
CREATE TABLE work_order_totals (
        status TEXT NOT NULL,
        priority INTEGER NOT NULL,
        total INTEGER NOT NULL,
        PRIMARY KEY (status, priority)
    ) WITHOUT ROWID
    ;
CREATE TABLE service_targets (
        priority INTEGER PRIMARY KEY CHECK (priority IN (1, 2, 3, 4)),
        response_hours INTEGER CHECK (response_hours BETWEEN 1 AND 9999),
        resolution_hours INTEGER CHECK (resolution_hours BETWEEN 1 AND 9999)
    );
CREATE TABLE mail_settings (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        host TEXT,
        port INTEGER NOT NULL DEFAULT 587 CHECK (port BETWEEN 1 AND 65535),
        security TEXT NOT NULL DEFAULT 'starttls' CHECK (security IN ('starttls', 'tls', 'none')),
        sender TEXT CHECK (length(sender) BETWEEN 3 AND 254),
        username TEXT,
        password TEXT,
        CHECK (host IS NULL OR sender IS NOT NULL)
    );
CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        work_order_id INTEGER NOT NULL REFERENCES work_orders (id),
        user_id INTEGER NOT NULL REFERENCES users (id),
        message_id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        ending TEXT NOT NULL,
        has_status INTEGER NOT NULL CHECK (has_status IN (0, 1)),
        text TEXT NOT NULL,
        created_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', created_at) IS created_at),
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at TEXT NOT NULL
            CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', next_attempt_at) IS next_attempt_at),
        claimed_until TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', claimed_until) IS claimed_until),
        was_transmitted INTEGER NOT NULL DEFAULT 0 CHECK (was_transmitted IN (0, 1)),
        failed_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', failed_at) IS failed_at),
        reason TEXT NOT NULL DEFAULT ''
    );
CREATE TABLE imported_files (
        content_hash TEXT PRIMARY KEY,
        imported_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', imported_at) IS imported_at)
    ) WITHOUT ROWID
    ;
CREATE TABLE texts_being_imported (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
INSERT INTO users (id, username, password_hash, role, email, is_active, created_at, must_change_password, password_version, seen_history_id) VALUES
(1, 'anna', '$scrypt$ln=4,r=8,p=3$J6wAc97kRmcqwowuRYL5tQ$fqpvumV1n4Qit7AZUeZ0pjjCbBfDWUqmJPwtJoGETG4', 'admin', 'anna@example.org', 1, '2026-09-01T08:00:00+00:00', 0, 1, 0),
(2, 'max', '$scrypt$ln=4,r=8,p=3$h+XneRQD7u/IeMKMHczuAg$Esw0m9UZmhg8++4HUPZaDz5tYau98iS7NojbaKooldA', 'manager', 'max@example.org', 1, '2026-09-01T08:03:00+00:00', 0, 1, 78),
(3, 'uma', '$scrypt$ln=4,r=8,p=3$uJJpr9hlMKWCdJ/tVrkkPg$GihQJ9eu46TOWfnM26S/wkUbjnLwVvIIgtEPbc1O9PA', 'user', 'uma@example.org', 1, '2026-09-01T08:04:00+00:00', 0, 2, 0),
(4, 'ugo', '$scrypt$ln=4,r=8,p=3$vIAV+dmIaI8M9C1VyM622Q$4aQe/DQZn4mid+YG21UsB0AOwHQzB9+IDk9qW/RRj/8', 'user', NULL, 1, '2026-09-01T08:04:00+00:00', 0, 1, 0),
(5, 'lena', '$scrypt$ln=4,r=8,p=3$otSZ7aMB5h4iO33qFROjQQ$9XNWuqxNJRY7OcPJYgbsmy27x9a+VvBNDqJanTZ4LDU', 'manager', NULL, 1, '2026-09-01T08:10:00+00:00', 0, 2, 0),
(6, 'paul', '$scrypt$ln=4,r=8,p=3$Ep0VWdGVcSQVuf7nzG0Wcg$yQ1zxW6zgGdVVgMWtNRfcAZ02i5IOVUb0QsQTKZO8pA', 'manager', NULL, 0, '2026-09-01T08:10:00+00:00', 1, 2, 0),
(7, 'gina', '$scrypt$ln=4,r=8,p=3$hU2Kx80REX0qAkbcdocpyg$VF7PYGla6sASrnDoyBf25WQ3TM8NwbdlF+PBuG6z1fc', 'user', NULL, 1, '2026-09-01T08:10:00+00:00', 1, 1, 0),
(8, 'gone', '$scrypt$ln=4,r=8,p=3$ENf+7nitnTsZJraLOztXvg$YA+Jgu7a8WEQefdg3QBDNh/kfmexArunQTkNvEJbK7M', 'user', NULL, 0, '2026-09-01T08:10:00+00:00', 0, 2, 0),
(9, 'otto', '$scrypt$ln=4,r=8,p=3$KUJsCszpEg8k01A34vKkyQ$MokF+ySY20gIt2qMGXdA64PGDgfnoBtDcGdvg6+fN2M', 'user', NULL, 0, '2026-09-09T11:17:00+00:00', 1, 1, 56),
(10, 'pia.k', '$scrypt$ln=4,r=8,p=3$KUJsCszpEg8k01A34vKkyQ$MokF+ySY20gIt2qMGXdA64PGDgfnoBtDcGdvg6+fN2M', 'user', NULL, 0, '2026-09-09T11:17:00+00:00', 1, 1, 56),
(11, 'rita.roe', '$scrypt$ln=4,r=8,p=3$C7MMbqLPsT50r5q72WhbZw$edyTV6iEn6q6p/g2U7GFL/gQPGinnG5pv2eY3Uusqog', 'user', NULL, 1, '2026-09-09T11:17:00+00:00', 1, 2, 56),
(12, 'kurt', '$scrypt$ln=4,r=8,p=3$mFFz6wlSUEAY8uYBow7CCA$7YZ2MWlCJqpm+Wr765KSCPEayN7QXpEjMdkrkTnv9VU', 'manager', NULL, 0, '2026-09-09T12:17:00+00:00', 1, 1, 63),
(13, 'nina', '$scrypt$ln=4,r=8,p=3$mFFz6wlSUEAY8uYBow7CCA$7YZ2MWlCJqpm+Wr765KSCPEayN7QXpEjMdkrkTnv9VU', 'user', NULL, 0, '2026-09-09T12:17:00+00:00', 1, 2, 63);
INSERT INTO work_orders (id, title, description, priority, status, requester_id, assignee_id, created_at, updated_at, resolved_at, due_at, deleted_at, category, urgency, created_second, due_by, held_since, finished_at, resolution_seconds, response_seconds, response_hours) VALUES
(1, 'Printer on floor 3 jams', CAST(X'4974206a616d732077697468206576657279207365636f6e6420706167652e0a546f6e65722069732066696e652e' AS TEXT), 3, 'Resolved', 3, 2, '2026-09-01T08:17:00+00:00', '2026-09-07T17:43:00+00:00', '2026-09-07T17:43:00+00:00', NULL, NULL, NULL, 5, 1788250620, NULL, NULL, '2026-09-07T16:43:00+00:00', 33960, 1200, NULL),
(2, 'VPN drops after an hour', '', 4, 'On Hold', 3, NULL, '2026-09-07T17:53:00+00:00', '2026-09-07T19:02:00+00:00', NULL, '2026-09-08T01:53:00+00:00', NULL, 'Network', 0, 1788803580, 'target', '2026-09-07T19:02:00+00:00', NULL, NULL, 4140, 1),
(3, 'Überhitzt: Straße 7, 打印机 im Flur', 'ネットワーク ist langsam', 3, 'In Progress', 4, NULL, '2026-09-07T19:09:00+00:00', '2026-09-09T03:09:00+00:00', NULL, '2026-09-10T01:09:00+00:00', NULL, NULL, 1, 1788808140, 'target', NULL, NULL, NULL, 7200, 4),
(4, 'New laptop for ugo', '16 GB, Ł-Tastatur', 1, 'Open', 4, NULL, '2026-09-09T03:16:00+00:00', '2026-09-09T03:25:00+00:00', NULL, '2026-10-30T17:00:00+00:00', NULL, 'Hardware', 3, 1788923760, 'hand', NULL, NULL, NULL, NULL, NULL),
(5, 'C++ compiler on 10.0.0.1', 'c++ is missing', 4, 'Open', 3, NULL, '2026-09-09T03:32:00+00:00', '2026-09-09T17:19:10+00:00', NULL, NULL, NULL, NULL, 0, 1788924720, 'hand', NULL, NULL, NULL, 49630, 1),
(6, 'Delete me', '', 2, 'Open', 8, NULL, '2026-09-09T04:06:00+00:00', '2026-09-09T04:14:00+00:00', NULL, NULL, '2026-09-09T04:14:00+00:00', NULL, 2, 1788926760, NULL, NULL, NULL, NULL, 360, 8),
(7, 'Deleted and restored', '', 2, 'Open', 3, NULL, '2026-09-09T04:21:00+00:00', '2026-09-09T04:25:00+00:00', NULL, NULL, NULL, NULL, 2, 1788927660, NULL, NULL, NULL, NULL, NULL, 8),
(8, 'On behalf of ugo', '', 2, 'Open', 2, NULL, '2026-09-09T04:32:00+00:00', '2026-09-09T05:02:00+00:00', NULL, NULL, NULL, NULL, 2, 1788928320, NULL, NULL, NULL, NULL, 1260, 8),
(9, 'Screen flickers', CAST(X'4f6e6c7920696e20746865206d6f726e696e672e0a09416e64206174206e6f6f6e2e' AS TEXT), 2, 'Open', 3, 2, '2026-09-09T05:09:00+00:00', '2026-09-09T16:10:10+00:00', NULL, NULL, NULL, 'Hardware', 2, 1788930540, NULL, NULL, NULL, NULL, 540, 8),
(10, 'Odd ''characters'' "here"; -- %s {0} \', CAST(X'74616209686572650a6e65775c0a6c696e6520f09f91bee2808df09f91a920c2a0656e64' AS TEXT), 2, 'Resolved', 3, NULL, '2026-09-09T06:34:00+00:00', '2026-09-09T14:43:10+00:00', '2026-09-09T14:43:10+00:00', NULL, NULL, NULL, 6, 1788935640, NULL, NULL, '2026-09-09T14:43:10+00:00', 29350, 29340, 8),
(11, 'The clock was set back', '', 2, 'Open', 4, NULL, '2026-09-09T07:17:00+00:00', '2026-09-09T05:17:00+00:00', NULL, NULL, NULL, NULL, 2, 1788938220, NULL, NULL, NULL, NULL, -7200, 8),
(12, 'Old: no network', 'Since Monday', 3, 'Open', 11, 2, '2025-03-01T08:00:00+00:00', '2026-09-09T13:45:00+00:00', NULL, '2025-03-02T23:59:59+00:00', NULL, 'Network', 1, 1740816000, NULL, NULL, NULL, NULL, 91800, NULL),
(13, 'Old: password', '', 1, 'Open', 10, NULL, '2025-03-04T08:00:00+00:00', '2025-03-04T08:00:00+00:00', NULL, NULL, NULL, NULL, 3, 1741075200, NULL, NULL, NULL, NULL, NULL, NULL),
(14, 'Old: waits for a part', '', 2, 'In Progress', 9, 5, '2025-03-05T08:00:00+00:00', '2026-09-09T13:34:00+00:00', NULL, '2026-12-24T12:00:00+00:00', NULL, 'Hardware', 2, 1741161600, NULL, NULL, NULL, NULL, 345600, NULL),
(15, 'Old: not wanted', '', 2, 'Cancelled', 3, NULL, '2025-03-06T08:00:00+00:00', '2025-03-07T08:00:00+00:00', NULL, NULL, NULL, NULL, 6, 1741248000, NULL, NULL, '2025-03-07T08:00:00+00:00', NULL, 86400, NULL),
(16, 'No id and open', '', 2, 'Open', 13, NULL, '2026-09-02T08:00:00+00:00', '2026-09-02T08:00:00+00:00', NULL, NULL, NULL, NULL, 2, 1788336000, NULL, NULL, NULL, NULL, NULL, NULL),
(17, 'No id in progress', '', 2, 'In Progress', 9, NULL, '2026-09-03T08:00:00+00:00', '2026-09-03T08:00:00+00:00', NULL, NULL, NULL, NULL, 2, 1788422400, NULL, NULL, NULL, NULL, 0, NULL),
(18, 'No id and mistyped', '', 2, 'Open', 3, NULL, '2062-09-03T08:00:00+00:00', '2062-09-03T08:00:00+00:00', NULL, NULL, NULL, NULL, 2, 2924496000, NULL, NULL, NULL, NULL, NULL, NULL),
(19, 'No id and no time', '', 2, 'Open', 12, NULL, '2026-09-09T12:17:00+00:00', '2026-09-09T12:17:00+00:00', NULL, NULL, NULL, NULL, 2, 1788956220, NULL, NULL, NULL, NULL, NULL, NULL),
(20, 'By hand, after the import', '', 2, 'Resolved', 3, NULL, '2026-09-09T13:52:00+00:00', '2026-09-09T14:12:00+00:00', '2026-09-09T14:03:00+00:00', NULL, NULL, NULL, 6, 1788961920, NULL, NULL, '2026-09-09T14:03:00+00:00', 660, 660, 8),
(21, 'Beamer in room 5', 'No picture', 3, 'Open', 4, 2, '2026-09-09T14:19:00+00:00', '2026-09-09T14:34:00+00:00', NULL, '2026-09-10T14:19:00+00:00', NULL, 'Hardware', 1, 1788963540, 'target', NULL, NULL, NULL, 540, 4);
INSERT INTO work_order_history (id, work_order_id, user_id, changed_at, field, old_value, new_value, note) VALUES
(1, 1, 3, '2026-09-01T08:17:00+00:00', 'created', NULL, NULL, ''),
(2, 1, 2, '2026-09-01T08:37:00+00:00', 'assignee', 'nobody', 'max', ''),
(3, 1, 2, '2026-09-01T08:37:00+00:00', 'status', 'Open', 'In Progress', ''),
(4, 1, 2, '2026-09-01T08:43:00+00:00', 'comment', NULL, NULL, 'On my way; who''s there?'),
(5, 1, 2, '2026-09-01T10:43:00+00:00', 'status', 'In Progress', 'Resolved', 'Cleaned the rollers'),
(6, 1, 3, '2026-09-05T10:43:00+00:00', 'status', 'Resolved', 'Open', 'It jams again'),
(7, 1, 2, '2026-09-05T11:43:00+00:00', 'status', 'Open', 'On Hold', 'Waits for a spare part'),
(8, 1, 2, '2026-09-07T11:43:00+00:00', 'status', 'On Hold', 'In Progress', ''),
(9, 1, 2, '2026-09-07T16:43:00+00:00', 'status', 'In Progress', 'Cancelled', 'Replaced by a new one'),
(10, 1, 2, '2026-09-07T17:43:00+00:00', 'status', 'Cancelled', 'Resolved', ''),
(11, 2, 3, '2026-09-07T17:53:00+00:00', 'created', NULL, NULL, ''),
(12, 2, 2, '2026-09-07T18:02:00+00:00', 'category', 'none', 'Network', ''),
(13, 2, 5, '2026-09-07T19:02:00+00:00', 'status', 'Open', 'On Hold', 'Asked the provider'),
(14, 3, 4, '2026-09-07T19:09:00+00:00', 'created', NULL, NULL, ''),
(15, 3, 2, '2026-09-07T21:09:00+00:00', 'status', 'Open', 'On Hold', ''),
(16, 3, 2, '2026-09-09T03:09:00+00:00', 'status', 'On Hold', 'In Progress', 'Weiter geht''s'),
(17, 3, 2, '2026-09-09T03:09:00+00:00', 'due date', '2026-09-08T19:09:00+00:00', '2026-09-10T01:09:00+00:00', ''),
(18, 4, 2, '2026-09-09T03:16:00+00:00', 'created', NULL, NULL, ''),
(19, 4, 2, '2026-09-09T03:25:00+00:00', 'due date', 'none', '2026-10-30T17:00:00+00:00', ''),
(20, 5, 3, '2026-09-09T03:32:00+00:00', 'created', NULL, NULL, ''),
(21, 5, 5, '2026-09-09T03:41:00+00:00', 'due date', '2026-09-10T03:32:00+00:00', 'none', ''),
(22, 5, 2, '2026-09-09T03:50:00+00:00', 'priority', 'High', 'Critical', ''),
(23, 5, 2, '2026-09-09T03:59:00+00:00', 'title', 'C++ compiler, 10.0.0.1', 'C++ compiler on 10.0.0.1', ''),
(24, 6, 8, '2026-09-09T04:06:00+00:00', 'created', NULL, NULL, ''),
(25, 6, 1, '2026-09-09T04:12:00+00:00', 'comment', NULL, NULL, 'A duplicate'),
(26, 6, 1, '2026-09-09T04:14:00+00:00', 'deleted', NULL, NULL, ''),
(27, 7, 3, '2026-09-09T04:21:00+00:00', 'created', NULL, NULL, ''),
(28, 7, 1, '2026-09-09T04:23:00+00:00', 'deleted', NULL, NULL, ''),
(29, 7, 1, '2026-09-09T04:25:00+00:00', 'restored', NULL, NULL, ''),
(30, 8, 3, '2026-09-09T04:32:00+00:00', 'created', NULL, NULL, ''),
(31, 8, 2, '2026-09-09T04:38:00+00:00', 'comment', NULL, NULL, 'It is ugo''s'),
(32, 8, 2, '2026-09-09T04:47:00+00:00', 'requester', 'uma', 'ugo', ''),
(33, 8, 4, '2026-09-09T04:53:00+00:00', 'comment', NULL, NULL, 'It is mine'),
(34, 8, 5, '2026-09-09T05:02:00+00:00', 'requester', 'ugo', 'max', ''),
(35, 9, 3, '2026-09-09T05:09:00+00:00', 'created', NULL, NULL, ''),
(36, 9, 2, '2026-09-09T05:18:00+00:00', 'assignee', 'nobody', 'paul', ''),
(37, 9, 2, '2026-09-09T05:27:00+00:00', 'description', '', CAST(X'4f6e6c7920696e20746865206d6f726e696e672e0a09416e64206174206e6f6f6e2e' AS TEXT), ''),
(38, 9, 1, '2026-09-09T06:27:00+00:00', 'assignee', 'paul', 'nobody', ''),
(39, 10, 3, '2026-09-09T06:34:00+00:00', 'created', NULL, NULL, ''),
(40, 10, 3, '2026-09-09T06:40:00+00:00', 'comment', NULL, NULL, '''; DROP TABLE users; --'),
(41, 10, 3, '2026-09-09T06:46:00+00:00', 'comment', NULL, NULL, CAST(X'1b5d303b7469746c65071b5b324a' AS TEXT)),
(42, 10, 3, '2026-09-09T06:52:00+00:00', 'comment', NULL, NULL, CAST(X'e280ae63696c627570e281a620e2808b20efbbbf' AS TEXT)),
(43, 10, 3, '2026-09-09T06:58:00+00:00', 'comment', NULL, NULL, 'Café हिन्दी ไทย 田中さん'),
(44, 10, 3, '2026-09-09T07:04:00+00:00', 'comment', NULL, NULL, CAST(X'3d312b310a4053554d' AS TEXT)),
(45, 10, 3, '2026-09-09T07:10:00+00:00', 'comment', NULL, NULL, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'),
(46, 11, 4, '2026-09-09T07:17:00+00:00', 'created', NULL, NULL, ''),
(47, 11, 2, '2026-09-09T08:17:00+00:00', 'status', 'Open', 'On Hold', ''),
(48, 11, 2, '2026-09-09T05:17:00+00:00', 'status', 'On Hold', 'Open', ''),
(49, 12, 1, '2025-03-01T08:00:00+00:00', 'created', NULL, NULL, 'Imported; the ID was INC-7.'),
(50, 12, 1, '2025-03-02T09:30:00+00:00', 'status', 'Open', 'Resolved', ''),
(51, 13, 1, '2025-03-04T08:00:00+00:00', 'created', NULL, NULL, 'Imported; the ID was INC-8.'),
(53, 14, 1, '2025-03-05T08:00:00+00:00', 'created', NULL, NULL, 'Imported; the ID was INC-9.'),
(54, 14, 1, '2025-03-09T08:00:00+00:00', 'status', 'Open', 'On Hold', ''),
(55, 15, 1, '2025-03-06T08:00:00+00:00', 'created', NULL, NULL, 'Imported; the ID was INC-10.'),
(56, 15, 1, '2025-03-07T08:00:00+00:00', 'status', 'Open', 'Cancelled', ''),
(57, 16, 1, '2026-09-02T08:00:00+00:00', 'created', NULL, NULL, ''),
(59, 17, 1, '2026-09-03T08:00:00+00:00', 'created', NULL, NULL, ''),
(60, 17, 1, '2026-09-03T08:00:00+00:00', 'status', 'Open', 'In Progress', ''),
(61, 18, 1, '2062-09-03T08:00:00+00:00', 'created', NULL, NULL, ''),
(63, 19, 1, '2026-09-09T12:17:00+00:00', 'created', NULL, NULL, ''),
(65, 14, 2, '2026-09-09T13:28:00+00:00', 'status', 'On Hold', 'In Progress', 'It has come'),
(66, 14, 2, '2026-09-09T13:34:00+00:00', 'comment', NULL, NULL, 'Built in'),
(67, 12, 2, '2026-09-09T13:45:00+00:00', 'status', 'Resolved', 'Open', 'It is gone again'),
(68, 20, 1, '2026-09-09T13:52:00+00:00', 'created', NULL, NULL, ''),
(69, 20, 1, '2026-09-09T14:03:00+00:00', 'status', 'Open', 'Resolved', ''),
(70, 20, 1, '2026-09-09T14:12:00+00:00', 'requester', 'anna', 'uma', ''),
(71, 21, 4, '2026-09-09T14:19:00+00:00', 'created', NULL, NULL, ''),
(72, 21, 5, '2026-09-09T14:28:00+00:00', 'assignee', 'nobody', 'max', ''),
(73, 21, 4, '2026-09-09T14:34:00+00:00', 'comment', NULL, NULL, CAST(X'4974277320746865206361626c650a6f722074686520706c7567' AS TEXT)),
(74, 10, 2, '2026-09-09T14:43:00+00:00', 'comment', NULL, NULL, 'Looked at it'),
(75, 10, 2, '2026-09-09T14:43:10+00:00', 'status', 'Open', 'Resolved', 'Works now'),
(76, 9, 2, '2026-09-09T15:52:10+00:00', 'assignee', 'nobody', 'lena', ''),
(77, 9, 2, '2026-09-09T16:01:10+00:00', 'assignee', 'lena', 'anna', ''),
(78, 9, 5, '2026-09-09T16:10:10+00:00', 'assignee', 'anna', 'max', ''),
(79, 5, 1, '2026-09-09T17:19:10+00:00', 'comment', NULL, NULL, 'Seen by nobody yet');
INSERT INTO audit_log (id, recorded_at, user_id, os_user, ssh_client, event, subject, subject_id) VALUES
(1, '2026-09-01T08:00:00+00:00', 1, 'itdesk', '', 'registered', 'anna as admin', 1),
(2, '2026-09-01T08:00:00+00:00', 1, 'itdesk', '', 'logged in', 'anna', 1),
(3, '2026-09-01T08:03:00+00:00', 2, 'itdesk', '10.0.0.7', 'registered', 'max as manager', 2),
(4, '2026-09-01T08:03:00+00:00', 1, 'itdesk', '10.0.0.7', 'registration approved', 'max as manager', 2),
(5, '2026-09-01T08:04:00+00:00', 3, 'itdesk', '10.0.0.7', 'registered', 'uma as user', 3),
(6, '2026-09-01T08:04:00+00:00', 4, 'itdesk', '10.0.0.7', 'registered', 'ugo as user', 4),
(7, '2026-09-01T08:05:00+00:00', 2, 'itdesk', '10.0.0.8', 'logged in', 'max', 2),
(8, '2026-09-01T08:05:00+00:00', 3, 'itdesk', '10.0.0.8', 'logged in', 'uma', 3),
(9, '2026-09-01T08:05:00+00:00', 4, 'itdesk', '10.0.0.8', 'logged in', 'ugo', 4),
(10, '2026-09-01T08:05:00+00:00', 3, 'itdesk', '10.0.0.8', 'email changed', 'uma', 3),
(11, '2026-09-01T08:05:00+00:00', 2, 'itdesk', '10.0.0.8', 'email changed', 'max', 2),
(12, '2026-09-01T08:05:00+00:00', 1, 'itdesk', '10.0.0.8', 'email changed', 'anna', 1),
(13, '2026-09-01T08:10:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'lena as manager', 5),
(14, '2026-09-01T08:10:00+00:00', 5, 'itdesk', '10.0.0.8', 'logged in', 'lena', 5),
(15, '2026-09-01T08:10:00+00:00', 5, 'itdesk', '10.0.0.8', 'password changed', 'lena', 5),
(16, '2026-09-01T08:10:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'paul as manager', 6),
(17, '2026-09-01T08:10:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'gina as user', 7),
(18, '2026-09-01T08:10:00+00:00', 8, 'itdesk', '10.0.0.8', 'registered', 'gone as user', 8),
(19, '2026-09-01T08:10:00+00:00', 8, 'itdesk', '10.0.0.8', 'logged in', 'gone', 8),
(20, '2026-09-07T17:44:00+00:00', 1, 'itdesk', '10.0.0.8', 'service target changed', 'Critical: first response none, resolution none -> first response 1 h, resolution 8 h', NULL),
(21, '2026-09-07T17:45:00+00:00', 1, 'itdesk', '10.0.0.8', 'service target changed', 'High: first response none, resolution none -> first response 4 h, resolution 24 h', NULL),
(22, '2026-09-07T17:46:00+00:00', 1, 'itdesk', '10.0.0.8', 'service target changed', 'Medium: first response none, resolution none -> first response 8 h, resolution none', NULL),
(23, '2026-09-09T04:14:00+00:00', 1, 'itdesk', '10.0.0.8', 'work order deleted', '#6', NULL),
(24, '2026-09-09T04:23:00+00:00', 1, 'itdesk', '10.0.0.8', 'work order deleted', '#7', NULL),
(25, '2026-09-09T04:25:00+00:00', 1, 'itdesk', '10.0.0.8', 'work order restored', '#7', NULL),
(26, '2026-09-09T06:27:00+00:00', 1, 'itdesk', '10.0.0.8', 'deactivated', 'paul', 6),
(27, '2026-09-09T06:27:00+00:00', 1, 'itdesk', '10.0.0.8', 'deactivated', 'gone', 8),
(28, '2026-09-09T11:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'otto as user, deactivated', 9),
(29, '2026-09-09T11:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'pia.k as user, deactivated', 10),
(30, '2026-09-09T11:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'rita.roe as user, deactivated', 11),
(31, '2026-09-09T11:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'imported', 'old-tickets.csv: 4 work orders', NULL),
(32, '2026-09-09T12:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'kurt as user, deactivated', 12),
(33, '2026-09-09T12:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'user added', 'nina as user, deactivated', 13),
(34, '2026-09-09T12:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'imported', 'more.csv: 4 work orders', NULL),
(35, '2026-09-09T13:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'reactivated', 'rita.roe', 11),
(36, '2026-09-09T13:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'password reset', 'rita.roe', 11),
(37, '2026-09-09T13:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'reactivated', 'nina', 13),
(38, '2026-09-09T13:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'deactivated', 'nina', 13),
(39, '2026-09-09T13:17:00+00:00', 1, 'itdesk', '10.0.0.8', 'role changed', 'kurt from user to manager', 12),
(40, '2026-09-09T13:17:00+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'pia.k', 10),
(41, '2026-09-09T14:12:00+00:00', 1, 'itdesk', '10.0.0.8', 'mail settings changed', 'smtp.example.org:587 (starttls) as desk, from helpdesk@example.org', NULL),
(42, '2026-09-09T16:10:10+00:00', 3, 'itdesk', '10.0.0.8', 'password changed', 'uma', 3),
(43, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'uma', 3),
(44, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'uma', 3),
(45, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'ugo', 4),
(46, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'ugo', 4),
(47, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'an unknown name', NULL),
(48, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'an unknown name', NULL),
(49, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'gone', 8),
(50, '2026-09-09T16:12:10+00:00', NULL, 'itdesk', '10.0.0.8', 'login failed', 'gone', 8),
(51, '2026-09-09T16:12:10+00:00', 3, 'itdesk', '10.0.0.8', 'refused', 'Your role (user) does not let you manage users.', NULL),
(52, '2026-09-09T16:13:10+00:00', 1, 'itdesk', '10.0.0.8', 'backed up', 'work_order-2026-09-09-161310.db', NULL),
(53, '2026-09-09T16:13:10+00:00', 1, 'itdesk', '10.0.0.8', 'database checked', '', NULL),
(54, '2026-09-09T17:13:10+00:00', 2, 'itdesk', '10.0.0.8', 'logged in', 'max', 2);
INSERT INTO work_order_counts (requester_id, status, priority, total) VALUES
(1, 'Open', 2, 0),
(1, 'Resolved', 2, 0),
(2, 'Open', 2, 1),
(3, 'Cancelled', 2, 1),
(3, 'Cancelled', 3, 0),
(3, 'In Progress', 3, 0),
(3, 'On Hold', 3, 0),
(3, 'On Hold', 4, 1),
(3, 'Open', 2, 3),
(3, 'Open', 3, 0),
(3, 'Open', 4, 1),
(3, 'Resolved', 2, 2),
(3, 'Resolved', 3, 1),
(4, 'In Progress', 3, 1),
(4, 'On Hold', 2, 0),
(4, 'On Hold', 3, 0),
(4, 'Open', 1, 1),
(4, 'Open', 2, 1),
(4, 'Open', 3, 1),
(8, 'Open', 2, 0),
(9, 'In Progress', 2, 2),
(9, 'On Hold', 2, 0),
(10, 'Open', 1, 1),
(11, 'Open', 3, 1),
(11, 'Resolved', 3, 0),
(12, 'Open', 2, 1),
(13, 'Open', 2, 1);
INSERT INTO password_failures (name_hash, client, failures, last_failed_at) VALUES
('283bb9deef02e6843abfb538efa1eca70801bd8a701c3f98191e123496339247', 'itdesk 10.0.0.8', 2, '2026-09-09T16:12:10+00:00'),
('2e5055f6f49ccfb069d6fb5f79e1ff9bdd9858b88fdfd04d95836dff3dbba6c5', 'itdesk 10.0.0.8', 1, '2026-09-09T13:17:00+00:00'),
('da29bbce828471dcfc63e1fbb56bc5c951c5fcb0cd184cd3265da9533ae8881c', 'itdesk 10.0.0.8', 2, '2026-09-09T16:12:10+00:00'),
('e811eb7830249bae4b61145ae6e5f0933d7f890570d6ead6e78f89f04fd6aeb5', 'itdesk 10.0.0.8', 2, '2026-09-09T16:12:10+00:00'),
('ead6ef03d61ee60c533d6d450c50a1e559a8a37f6b796a4094cd0dac6b744428', 'itdesk 10.0.0.8', 2, '2026-09-09T16:12:10+00:00');
INSERT INTO login_clients (user_id, client, last_login_at) VALUES
(1, 'itdesk ', '2026-09-01T08:00:00+00:00'),
(2, 'itdesk 10.0.0.8', '2026-09-09T17:13:10+00:00'),
(3, 'itdesk 10.0.0.8', '2026-09-01T08:05:00+00:00'),
(4, 'itdesk 10.0.0.8', '2026-09-01T08:05:00+00:00'),
(5, 'itdesk 10.0.0.8', '2026-09-01T08:10:00+00:00'),
(8, 'itdesk 10.0.0.8', '2026-09-01T08:10:00+00:00');
INSERT INTO work_order_totals (status, priority, total) VALUES
('Cancelled', 2, 1),
('Cancelled', 3, 0),
('In Progress', 2, 2),
('In Progress', 3, 1),
('On Hold', 2, 0),
('On Hold', 3, 0),
('On Hold', 4, 1),
('Open', 1, 2),
('Open', 2, 7),
('Open', 3, 2),
('Open', 4, 1),
('Resolved', 2, 2),
('Resolved', 3, 1);
INSERT INTO service_targets (priority, response_hours, resolution_hours) VALUES
(1, NULL, NULL),
(2, 8, NULL),
(3, 4, 24),
(4, 1, 8);
INSERT INTO mail_settings (id, host, port, security, sender, username, password) VALUES
(1, 'smtp.example.org', 587, 'starttls', 'helpdesk@example.org', 'desk', 'secret 1');
INSERT INTO outbox (id, work_order_id, user_id, message_id, title, ending, has_status, text, created_at, attempts, next_attempt_at, claimed_until, was_transmitted, failed_at, reason) VALUES
(1, 21, 2, '<work-order-21.b967e8cc63b80afd@example.org>', 'Beamer in room 5', 'assigned to max', 0, '2026-09-09 14:28 +0000  lena: assignee from "nobody" to "max"', '2026-09-09T14:28:00+00:00', 0, '2026-09-09T14:28:00+00:00', NULL, 0, NULL, ''),
(2, 21, 4, '<work-order-21.6105cf9f5526f0c5@example.org>', 'Beamer in room 5', 'assigned to max', 0, '2026-09-09 14:28 +0000  lena: assignee from "nobody" to "max"', '2026-09-09T14:28:00+00:00', 3, '2026-09-09T14:28:00+00:00', NULL, 0, '2026-09-09T16:10:10+00:00', '550 no such user'),
(3, 21, 2, '<work-order-21.b8aae90dc873ebe2@example.org>', 'Beamer in room 5', 'comment', 0, CAST(X'323032362d30392d30392031343a3334202b30303030202075676f3a20636f6d6d656e7465640a202020204974277320746865206361626c650a202020206f722074686520706c7567' AS TEXT), '2026-09-09T14:34:00+00:00', 1, '2026-09-20T12:00:00+00:00', NULL, 0, NULL, 'timed out'),
(4, 10, 3, '<work-order-10.de75b83fc703c532@example.org>', 'Odd ''characters'' "here"; -- %s {0} \', 'Resolved', 1, CAST(X'323032362d30392d30392031343a3433202b3030303020206d61783a20636f6d6d656e7465640a202020204c6f6f6b65642061742069740a0a323032362d30392d30392031343a3433202b3030303020206d61783a207374617475732066726f6d20224f70656e2220746f20225265736f6c766564220a20202020576f726b73206e6f77' AS TEXT), '2026-09-09T14:43:00+00:00', 0, '2026-09-09T14:43:00+00:00', '2026-09-09T15:50:00+00:00', 1, NULL, ''),
(5, 9, 5, '<work-order-9.ca5a3277584a92af@example.org>', 'Screen flickers', 'assigned to lena', 0, '2026-09-09 15:52 +0000  max: assignee from "nobody" to "lena"', '2026-09-09T15:52:10+00:00', 0, '2026-09-09T15:52:10+00:00', NULL, 0, NULL, ''),
(6, 9, 3, '<work-order-9.48fb1c15f1d7b221@example.org>', 'Screen flickers', 'assigned to lena', 0, '2026-09-09 15:52 +0000  max: assignee from "nobody" to "lena"', '2026-09-09T15:52:10+00:00', 0, '2026-09-09T15:52:10+00:00', NULL, 0, NULL, ''),
(7, 9, 1, '<work-order-9.6bed2f93a8340d1e@example.org>', 'Screen flickers', 'assigned to anna', 0, '2026-09-09 16:01 +0000  max: assignee from "lena" to "anna"', '2026-09-09T16:01:10+00:00', 0, '2026-09-09T16:01:10+00:00', NULL, 0, NULL, ''),
(8, 9, 5, '<work-order-9.be52320e93e18d73@example.org>', 'Screen flickers', 'assigned to anna', 0, '2026-09-09 16:01 +0000  max: assignee from "lena" to "anna"', '2026-09-09T16:01:10+00:00', 0, '2026-09-09T16:01:10+00:00', NULL, 0, NULL, ''),
(9, 9, 3, '<work-order-9.fe76a01920291b46@example.org>', 'Screen flickers', 'assigned to anna', 0, '2026-09-09 16:01 +0000  max: assignee from "lena" to "anna"', '2026-09-09T16:01:10+00:00', 0, '2026-09-09T16:01:10+00:00', NULL, 0, NULL, ''),
(10, 9, 1, '<work-order-9.17ef21f976fcdf22@example.org>', 'Screen flickers', 'assigned to max', 0, '2026-09-09 16:10 +0000  lena: assignee from "anna" to "max"', '2026-09-09T16:10:10+00:00', 0, '2026-09-09T16:10:10+00:00', NULL, 0, NULL, ''),
(11, 9, 2, '<work-order-9.8660adae3992491c@example.org>', 'Screen flickers', 'assigned to max', 0, '2026-09-09 16:10 +0000  lena: assignee from "anna" to "max"', '2026-09-09T16:10:10+00:00', 0, '2026-09-09T16:10:10+00:00', NULL, 0, NULL, ''),
(13, 5, 3, '<work-order-5.e7fea31d2152596a@example.org>', 'C++ compiler on 10.0.0.1', 'comment', 0, CAST(X'323032362d30392d30392031373a3139202b303030302020616e6e613a20636f6d6d656e7465640a202020205365656e206279206e6f626f647920796574' AS TEXT), '2026-09-09T17:19:10+00:00', 0, '2026-09-09T17:19:10+00:00', NULL, 0, NULL, '');
INSERT INTO imported_files (content_hash, imported_at) VALUES
('91d982768b5854a1eb5710ed34fb4a684ee4641b375b25dbbcbedb7b83d61688', '2026-09-09T12:17:00+00:00'),
('ee4b6f559d31671148287dbe304f8b59f0cc3489dac7bda0e2990579a50c465f', '2026-09-09T11:17:00+00:00');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence (name, seq) VALUES ('audit_log', 54), ('users', 13), ('work_orders', 26), ('work_order_history', 84), ('outbox', 13);
CREATE INDEX users_active_by_role ON users (role) WHERE is_active = 1;
CREATE INDEX work_orders_deleted ON work_orders (deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX password_failures_by_time ON password_failures (last_failed_at);
CREATE INDEX work_order_history_by_work_order ON work_order_history (work_order_id);
CREATE INDEX audit_log_by_user ON audit_log (user_id);
CREATE INDEX audit_log_by_subject ON audit_log (subject_id);
CREATE INDEX audit_log_by_event ON audit_log (event);
CREATE INDEX work_orders_by_change ON work_orders (updated_at) WHERE deleted_at IS NULL;
CREATE INDEX work_orders_by_due ON work_orders (is_finished, due_rank) WHERE deleted_at IS NULL;
CREATE INDEX work_orders_by_urgency ON work_orders (urgency, created_second, id, due_at, deleted_at)
        WHERE deleted_at IS NULL
    ;
CREATE INDEX work_orders_by_status_urgency ON work_orders (status, urgency, created_second, id, due_at, deleted_at)
        WHERE deleted_at IS NULL
    ;
CREATE INDEX work_orders_by_category_urgency
        ON work_orders (category, urgency, created_second, id, due_at, deleted_at) WHERE deleted_at IS NULL
    ;
CREATE INDEX work_orders_by_requester_urgency
        ON work_orders (requester_id, urgency, created_second, id, status, category, assignee_id, due_at, deleted_at)
        WHERE deleted_at IS NULL
    ;
CREATE INDEX work_orders_by_assignee_urgency
        ON work_orders (assignee_id, urgency, created_second, id, status, category, due_at, deleted_at)
        WHERE deleted_at IS NULL
    ;
CREATE INDEX work_orders_by_requester_change ON work_orders (requester_id, updated_at, id, deleted_at)
        WHERE deleted_at IS NULL
    ;
CREATE INDEX work_orders_by_assignee_change ON work_orders (assignee_id, updated_at, id, deleted_at)
        WHERE deleted_at IS NULL AND assignee_id IS NOT NULL
    ;
CREATE INDEX work_orders_unfinished_by_due ON work_orders (due_at, status, category, urgency, deleted_at)
        WHERE deleted_at IS NULL AND due_at IS NOT NULL AND urgency < 4
    ;
CREATE INDEX work_order_history_by_former_assignee ON work_order_history (old_value)
        WHERE field = 'assignee'
    ;
CREATE INDEX work_orders_resolved ON work_orders (
        resolved_at, id, priority, category, assignee_id, requester_id, resolution_seconds, response_seconds,
        response_hours, due_at, deleted_at
    ) WHERE deleted_at IS NULL AND resolved_at IS NOT NULL
    ;
CREATE INDEX work_orders_unfinished ON work_orders (
        created_at, id, priority, assignee_id, status, due_at, deleted_at
    ) WHERE deleted_at IS NULL AND status IN ('Open', 'In Progress', 'On Hold')
    ;
CREATE INDEX work_orders_stopped ON work_orders (status, due_by, due_at, held_since, deleted_at)
        WHERE deleted_at IS NULL AND status = 'On Hold' AND due_by = 'target' AND due_at >= held_since
    ;
CREATE INDEX work_orders_created ON work_orders (created_at, deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX work_orders_finished ON work_orders (finished_at, created_at, deleted_at)
        WHERE deleted_at IS NULL AND finished_at IS NOT NULL
    ;
CREATE INDEX work_order_history_to_finished
        ON work_order_history (changed_at, work_order_id, new_value, old_value, field)
        WHERE field = 'status' AND new_value IN ('Resolved', 'Cancelled')
    ;
CREATE INDEX work_order_history_from_finished
        ON work_order_history (changed_at, work_order_id, new_value, old_value, field)
        WHERE field = 'status' AND old_value IN ('Resolved', 'Cancelled')
    ;
CREATE INDEX outbox_by_next_attempt ON outbox (next_attempt_at) WHERE failed_at IS NULL;
CREATE INDEX outbox_by_work_order ON outbox (work_order_id, user_id);
CREATE VIEW work_order_measures AS SELECT
        id,
        CASE WHEN status = 'On Hold' THEN (
            SELECT changed_at FROM work_order_history
            WHERE work_order_id = work_orders.id AND field = 'status' ORDER BY work_order_history.id DESC LIMIT 1
        ) END AS held_since,
        CASE WHEN status IN ('Resolved', 'Cancelled') THEN coalesce((
            SELECT changed_at FROM work_order_history
            WHERE work_order_id = work_orders.id AND field = 'status' AND old_value NOT IN ('Resolved', 'Cancelled')
            ORDER BY work_order_history.id DESC LIMIT 1
        ), resolved_at, created_at) END AS finished_at,
        CASE WHEN status = 'Resolved' THEN strftime('%s', resolved_at) - strftime('%s', created_at) - (
            SELECT coalesce(sum(strftime('%s', ended_at) - strftime('%s', began_at)), 0) FROM (
                SELECT id, old_value, changed_at AS ended_at,
                    lag(changed_at, 1, work_orders.created_at) OVER (ORDER BY work_order_history.id) AS began_at
                FROM work_order_history WHERE work_order_id = work_orders.id AND field = 'status'
            ) WHERE old_value IN ('On Hold', 'Resolved', 'Cancelled') AND id <= (
                SELECT max(id) FROM work_order_history
                WHERE work_order_id = work_orders.id AND field = 'status'
                    AND old_value NOT IN ('Resolved', 'Cancelled')
            )
        ) END AS resolution_seconds,
        (
            SELECT strftime('%s', min(changed_at)) - strftime('%s', work_orders.created_at) FROM work_order_history
            WHERE work_order_id = work_orders.id AND field IN ('comment', 'assignee', 'status')
                AND user_id <> work_orders.requester_id
        ) AS response_seconds
    FROM work_orders;
CREATE VIEW work_order_texts AS
        SELECT id, 
    title || char(10) || description || char(10) || coalesce((
        SELECT substr(group_concat(note, char(10)), 1, 400000) FROM (
            SELECT note FROM work_order_history
            WHERE work_order_id = work_orders.id AND note <> '' ORDER BY id
        )
    ), '') || char(10, 10)
 AS text FROM work_orders UNION ALL SELECT id, text FROM texts_being_imported;
CREATE VIRTUAL TABLE work_order_search USING fts5 (
        text, content = 'work_order_texts', content_rowid = 'id', detail = 'none', columnsize = 0,
        tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
    );
CREATE VIRTUAL TABLE work_order_trigrams USING fts5 (
        text, content = 'work_order_texts', content_rowid = 'id', detail = 'none', columnsize = 0,
        tokenize = 'trigram'
    );
CREATE VIRTUAL TABLE work_order_search_terms USING fts5vocab (work_order_search, instance);
CREATE VIRTUAL TABLE work_order_trigrams_terms USING fts5vocab (work_order_trigrams, instance);
INSERT INTO work_order_search (work_order_search, rank) VALUES ('crisismerge', 256);
INSERT INTO work_order_search (work_order_search, rank) VALUES ('hashsize', 16777216);
INSERT INTO work_order_search (work_order_search) VALUES ('rebuild');
INSERT INTO work_order_trigrams (work_order_trigrams, rank) VALUES ('crisismerge', 256);
INSERT INTO work_order_trigrams (work_order_trigrams, rank) VALUES ('hashsize', 16777216);
INSERT INTO work_order_trigrams (work_order_trigrams) VALUES ('rebuild');
CREATE TRIGGER audit_log_is_never_removed BEFORE DELETE ON audit_log
    BEGIN SELECT RAISE(ABORT, 'The audit log is never removed.'); END;
CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
    BEGIN SELECT RAISE(ABORT, 'The audit log is never changed.'); END;
CREATE TRIGGER work_order_counts_total_new AFTER INSERT ON work_order_counts
    BEGIN
        INSERT INTO work_order_totals VALUES (new.status, new.priority, new.total)
            ON CONFLICT (status, priority) DO UPDATE SET total = total + new.total;
    END;
CREATE TRIGGER work_order_counts_total_change AFTER UPDATE ON work_order_counts
    BEGIN
        UPDATE work_order_totals SET total = total + new.total - old.total
            WHERE status = new.status AND priority = new.priority;
    END;
CREATE TRIGGER work_order_history_is_never_changed BEFORE UPDATE ON work_order_history
    BEGIN SELECT RAISE(ABORT, 'The history is never changed.'); END;
CREATE TRIGGER work_order_history_is_never_removed BEFORE DELETE ON work_order_history
    BEGIN SELECT RAISE(ABORT, 'The history is never removed.'); END;
CREATE TRIGGER work_orders_count_out AFTER UPDATE OF requester_id, status, priority, deleted_at ON work_orders
        WHEN old.deleted_at IS NULL
    BEGIN
        UPDATE work_order_counts SET total = total - 1
            WHERE requester_id = old.requester_id AND status = old.status AND priority = old.priority;
    END;
CREATE TRIGGER work_orders_are_never_removed BEFORE DELETE ON work_orders
    BEGIN SELECT RAISE(ABORT, 'A work order is never removed.'); END;
CREATE TRIGGER work_orders_count_new AFTER INSERT ON work_orders WHEN new.deleted_at IS NULL
    BEGIN
        INSERT INTO work_order_counts VALUES (new.requester_id, new.status, new.priority, 1)
            ON CONFLICT (requester_id, status, priority) DO UPDATE SET total = total + 1;
    END;
CREATE TRIGGER work_orders_count_in AFTER UPDATE OF requester_id, status, priority, deleted_at ON work_orders
        WHEN new.deleted_at IS NULL
    BEGIN
        INSERT INTO work_order_counts VALUES (new.requester_id, new.status, new.priority, 1)
            ON CONFLICT (requester_id, status, priority) DO UPDATE SET total = total + 1;
    END;
CREATE TRIGGER work_order_notes_are_bounded BEFORE INSERT ON work_order_history
        WHEN new.note <> '' AND max(length(new.note), 100) + (
            SELECT coalesce(sum(max(length(note), 100)), 0) FROM work_order_history
            WHERE work_order_id = new.work_order_id AND note <> ''
        ) > 200000
    BEGIN SELECT RAISE(ABORT, 'The comments and notes of a work order have at most 200,000 characters.'); END;
CREATE TRIGGER work_order_notes_have_no_nul BEFORE INSERT ON work_order_history
        WHEN instr(new.note, char(0)) > 0
    BEGIN SELECT RAISE(ABORT, 'A text has no NUL.'); END;
CREATE TRIGGER work_orders_have_no_nul BEFORE INSERT ON work_orders
        WHEN instr(new.title || new.description, char(0)) > 0
    BEGIN SELECT RAISE(ABORT, 'A text has no NUL.'); END;
CREATE TRIGGER work_orders_get_no_nul BEFORE UPDATE OF title, description ON work_orders
        WHEN instr(new.title || new.description, char(0)) > 0
    BEGIN SELECT RAISE(ABORT, 'A text has no NUL.'); END;
CREATE TRIGGER work_orders_place_new AFTER INSERT ON work_orders
    BEGIN
        UPDATE work_orders
            SET urgency = computed_urgency, created_second = CAST(strftime('%s', created_at) AS INTEGER)
            WHERE id = new.id;
    END;
CREATE TRIGGER work_orders_place_change
        AFTER UPDATE OF status, priority, created_at, urgency, created_second ON work_orders
        WHEN new.urgency IS NOT new.computed_urgency
            OR new.created_second IS NOT CAST(strftime('%s', new.created_at) AS INTEGER)
    BEGIN
        UPDATE work_orders
            SET urgency = computed_urgency, created_second = CAST(strftime('%s', created_at) AS INTEGER)
            WHERE id = new.id;
    END;
CREATE TRIGGER work_orders_index_change AFTER UPDATE OF title, description ON work_orders
        BEGIN
            INSERT INTO work_order_search (work_order_search, rowid, text)
                SELECT 'delete', id, 
                old.title || char(10) || old.description
                    || substr(text, length(new.title) + length(new.description) + 2)
                 FROM work_order_texts WHERE id = new.id;
            INSERT INTO work_order_trigrams (work_order_trigrams, rowid, text)
                SELECT 'delete', id, 
                old.title || char(10) || old.description
                    || substr(text, length(new.title) + length(new.description) + 2)
                 FROM work_order_texts WHERE id = new.id;
            INSERT INTO work_order_search (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.id;
            INSERT INTO work_order_trigrams (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.id;
        END;
CREATE TRIGGER work_order_notes_index AFTER INSERT ON work_order_history WHEN new.note <> ''
        BEGIN
            INSERT INTO work_order_search (work_order_search, rowid, text)
                SELECT 'delete', id, 
    title || char(10) || description || char(10) || coalesce((
        SELECT substr(group_concat(note, char(10)), 1, 400000) FROM (
            SELECT note FROM work_order_history
            WHERE work_order_id = work_orders.id AND note <> '' AND id <> new.id ORDER BY id
        )
    ), '') || char(10, 10)
 FROM work_orders WHERE id = new.work_order_id;
            INSERT INTO work_order_trigrams (work_order_trigrams, rowid, text)
                SELECT 'delete', id, 
    title || char(10) || description || char(10) || coalesce((
        SELECT substr(group_concat(note, char(10)), 1, 400000) FROM (
            SELECT note FROM work_order_history
            WHERE work_order_id = work_orders.id AND note <> '' AND id <> new.id ORDER BY id
        )
    ), '') || char(10, 10)
 FROM work_orders WHERE id = new.work_order_id;
            INSERT INTO work_order_search (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.work_order_id;
            INSERT INTO work_order_trigrams (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.work_order_id;
        END;
CREATE TRIGGER work_orders_index_new AFTER INSERT ON work_orders
    BEGIN
        INSERT INTO work_order_search (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.id;
        INSERT INTO work_order_trigrams (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.id;
    END;
CREATE TRIGGER work_orders_measure_new AFTER INSERT ON work_orders
                    WHEN new.status <> 'Open' OR EXISTS (SELECT 1 FROM work_order_history WHERE work_order_id = new.id)
                
        BEGIN
            UPDATE work_orders SET (held_since, finished_at, resolution_seconds, response_seconds) = (
                SELECT held_since, finished_at, resolution_seconds, response_seconds FROM work_order_measures
                WHERE id = new.id
            ) WHERE id = new.id;
        END;
CREATE TRIGGER work_orders_measure_change AFTER UPDATE OF requester_id, status, created_at, resolved_at
                    ON work_orders
                
        BEGIN
            UPDATE work_orders SET (held_since, finished_at, resolution_seconds, response_seconds) = (
                SELECT held_since, finished_at, resolution_seconds, response_seconds FROM work_order_measures
                WHERE id = new.id
            ) WHERE id = new.id;
        END;
CREATE TRIGGER work_orders_measure_history AFTER INSERT ON work_order_history
                    WHEN new.field IN ('comment', 'assignee', 'status')
                
        BEGIN
            UPDATE work_orders SET (held_since, finished_at, resolution_seconds, response_seconds) = (
                SELECT held_since, finished_at, resolution_seconds, response_seconds FROM work_order_measures
                WHERE id = new.work_order_id
            ) WHERE id = new.work_order_id;
        END;
PRAGMA application_id = 1464816203;
PRAGMA user_version = 9;
