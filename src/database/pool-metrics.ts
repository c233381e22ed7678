import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { Metrics } from '../metrics/metrics.js';

/** What mysql2 knows of its pool and has no words for. */
interface PoolState {
  _allConnections: { length: number };
  _freeConnections: { length: number };
  _connectionQueue: { length: number };
}

/** How busy the connections to MySQL are. SQLite has one, and nothing to tell of it. */
@Injectable()
export class PoolMetrics {
  constructor(@InjectDataSource() dataSource: DataSource, metrics: Metrics) {
    const pool = (dataSource.driver as { pool?: PoolState }).pool;
    if (!pool) return;
    const all = () => pool._allConnections.length;
    const free = () => pool._freeConnections.length;
    metrics.gauge('database_connections_busy', 'Connections of the pool in use.', () => all() - free());
    metrics.gauge('database_connections_free', 'Open connections of the pool that nobody uses.', free);
    metrics.gauge('database_connection_waits', 'Requests that wait for one.', () => pool._connectionQueue.length);
  }
}
