import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { MessageKind } from './messages.js';

/**
 * A mail on its way. It waits (`nextAttemptAt` set), or is sent, or is dead: given up, until an operator has it tried
 * again or its time is up.
 */
@Entity('outbox')
export class OutboxMessage {
  /** UUIDv7. The left side of the Message-ID. */
  @PrimaryColumn('varchar')
  id!: string;

  /** Whose data the row is; null where there is no account, or it is gone. */
  @Column('varchar', { name: 'user_id', nullable: true })
  userId!: string | null;

  @Column('varchar')
  kind!: MessageKind;

  /** The address as it was stored for the account, at most 254 characters. */
  @Column('varchar')
  recipient!: string;

  /** The message as JSON, sealed under the master key with id and recipient as context. Null once it is sent. */
  @Column('text', { nullable: true })
  content!: string | null;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  /** When somebody may try (again). While somebody tries: when another may. Null once it is sent or dead. */
  @Column('datetime', { name: 'next_attempt_at', precision: 3, nullable: true })
  nextAttemptAt!: Date | null;

  /** How often somebody set out to send it. Only grows; whoever counts it up has the row until `nextAttemptAt`. */
  @Column('int')
  attempts!: number;

  /** A failure after this instant is the last one. */
  @Column('datetime', { name: 'gives_up_at', precision: 3 })
  givesUpAt!: Date;

  @Column('datetime', { name: 'sent_at', precision: 3, nullable: true })
  sentAt!: Date | null;

  @Column('datetime', { name: 'dead_at', precision: 3, nullable: true })
  deadAt!: Date | null;

  /** A code, never a server's text: that may quote an address or the message. At most 200 characters. */
  @Column('varchar', { name: 'last_error', nullable: true })
  lastError!: string | null;
}
